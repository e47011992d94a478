"""`sync`: the folder's files on the server, and the decision about a conflict."""

import click

from testbed.client.sync.sending import take as take_file
from testbed.client.terminal.agreement import yes_option
from testbed.client.terminal.options import common
from testbed.client.terminal.project import read_link, require_same, write_link
from testbed.client.terminal.session import session
from testbed.client.terminal.synchronising import (
    Folder,
    fetch_inputs,
    sent,
    synchronised,
)
from testbed.client.terminal.tables import print_json, say


@click.command()
@click.option(
    "--take", metavar="PATH", multiple=True, help="Replace this file by the server's."
)
@click.option(
    "--send", metavar="PATH", multiple=True, help="Replace the server's by this file."
)
@yes_option
@common
def sync(take: tuple[str, ...], send: tuple[str, ...], yes: bool) -> None:
    """Bring what changed in the folder to the server, and start nothing.

    A file that was edited on the server is not overwritten: decide with --take or
    --send. `.testbedignore` names what stays here, as `.gitignore` does.
    """
    with session(yes=yes) as one:
        testbed = one.testbed
        folder = one.settings.yaml.parent
        if not take and not send:
            inputs = synchronised(Folder.of(one), testbed)
        else:
            link = read_link(folder)
            require_same(link, one.server.url, testbed)
            for path in take:
                take_file(one.server, testbed, folder, path, link.files)
                say(f"{path} is the server's now.")
            write_link(folder, link)
            there = fetch_inputs(one.server, testbed)
            inputs = sent(Folder.of(one), testbed, there, link, forced=send)
        if one.settings.is_json:
            print_json({"testbed": testbed, "files": inputs.files})
        say(f"The folder and {testbed} have the same files.")
