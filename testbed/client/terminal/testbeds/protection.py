"""`testbeds protect` and `unprotect`: what refuses to erase data of a testbed."""

import click

from testbed.client.board.moments import moment
from testbed.client.rest.addresses import path_of
from testbed.client.terminal.options import common
from testbed.client.terminal.session import session
from testbed.client.terminal.tables import Listing, say
from testbed.client.watching import Frame

guest_option = click.option(
    "--guest", default="", help="This guest alone, instead of the whole testbed."
)


@click.command()
@click.argument("name", default="")
@guest_option
@click.option("--list", "lists", is_flag=True, help="List what is protected.")
@common
def protect(name: str, guest: str, lists: bool) -> None:
    """Protect the testbed NAME, the folder's unless given.

    All that would erase its data is refused.
    """
    _change(name, "GET" if lists else "PUT", guest)


@click.command()
@click.argument("name", default="")
@guest_option
@common
def unprotect(name: str, guest: str) -> None:
    """Lift the protection of the testbed NAME, the folder's else, or of one guest."""
    _change(name, "DELETE", guest)


def _change(name: str, method: str, guest: str) -> None:
    with session() as one:
        testbed = one.meant(name)
        query = {"guest": guest} if guest else {}
        path = path_of(testbed, "protection")
        found = one.server.send(method, path, query=query)["items"]
        thing = f"{guest} of {testbed}" if guest else testbed
        if method != "GET":
            say(f"{thing} is {'protected' if method == 'PUT' else 'not protected'}.")
        empty = f"Nothing of {testbed} is protected."
        Listing(("Protected", "By", "Since"), _row, empty).show(found, one.settings)


def _row(found: Frame) -> tuple[object, ...]:
    since = moment(found["set_at"])
    return found["guest"] or "the whole testbed", found["set_by"], since
