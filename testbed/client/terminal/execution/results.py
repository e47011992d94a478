"""`answers`, `fetched` and `packets`: what a command in guests left on the server."""

from pathlib import Path

import click

from testbed.client.answers import show_answers, show_failures
from testbed.client.terminal.agreement import yes_option
from testbed.client.terminal.downloads import OUTPUT, require_new, save_new
from testbed.client.terminal.execution.unpacking import require_empty, take_fetched
from testbed.client.terminal.options import common
from testbed.client.terminal.session import session
from testbed.client.terminal.tables import Listing, print_json, say


@click.command()
@click.argument("run", type=click.IntRange(1))
@common
def answers(run: int) -> None:
    """Print the answers of the command RUN, equal ones once."""
    with session() as one:
        found = one.server.get(f"/runs/{one.named_run(run)}/answers")
        if one.settings.is_json:
            print_json(found)
            return
        show_answers(found)
        show_failures(found)


@click.command()
@click.argument("run", type=click.IntRange(1))
@click.option(
    "--to",
    type=click.Path(path_type=Path),
    metavar="FOLDER",
    help="Download them into this new or empty folder of this machine.",
)
@click.option("--delete", is_flag=True, help="Delete them on the server.")
@yes_option
@common
def fetched(run: int, to: Path | None, delete: bool, yes: bool) -> None:
    """List the guests whose files RUN fetched, download the files, or delete them."""
    if to is not None:
        require_empty(to)
    with session(yes=yes) as one:
        path = f"/runs/{one.named_run(run)}/fetched"
        if to is not None:
            take_fetched(one.server, run, to)
        if delete:
            one.server.delete(path)
            if one.settings.is_json:
                print_json({"deleted": run})
            say(f"The fetched files of run {run} were deleted.")
        if to is None and not delete:
            listing = Listing(
                ("Guest", "Files"),
                lambda each: (
                    each["name"],
                    "on the server" if each["there"] else "none",
                ),
                f"Run {run} has fetched nothing.",
            )
            listing.show(list(one.server.pages(path)), one.settings)


@click.command()
@click.argument("run", type=click.IntRange(1))
@click.argument("file", type=click.Path(path_type=Path))
@common
def packets(run: int, file: Path) -> None:
    """Write the packets of the capture RUN into the new FILE, as pcap.

    `-` is standard output, as for `wireshark -k -i -`. While the capture runs, its
    packets come as they are captured, until it ends.
    """
    require_new(file)
    with session() as one:
        path = f"/runs/{one.named_run(run)}/capture.pcap"
        save_new(file, one.server.pieces(path))
        is_json = one.settings.is_json
    if file != OUTPUT:
        if is_json:
            print_json({"run": run, "file": str(file)})
        say(f"The packets are in {file}.")
