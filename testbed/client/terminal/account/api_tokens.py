"""`tokens`: the user's API tokens; they are made on the page of `testbed login`."""

import click

from testbed.client.board.moments import moment
from testbed.client.terminal.account.chosen import chosen_by
from testbed.client.terminal.options import common
from testbed.client.terminal.session import Session, session
from testbed.client.terminal.tables import Listing, print_json, say
from testbed.client.watching import Frame

PATH = "/tokens"
COLUMNS = ("Number", "Name", "Begin", "Scopes", "Expires", "Last used")
WIDE = ("Made",)


@click.group()
def tokens() -> None:
    """List and revoke your API tokens."""


@tokens.command("list")
@common
def list_tokens() -> None:
    """List your API tokens, with the first characters of each."""
    with session() as one:
        empty = "You have no API token."
        Listing(COLUMNS, _row, empty, WIDE).show(_all(one), one.settings)


@tokens.command()
@click.argument("token")
@common
def revoke(token: str) -> None:
    """Revoke TOKEN, a number or a name: programs that use it are refused at once."""
    with session() as one:
        found = chosen_by(_all(one), token, "token", "tokens")
        one.server.send("DELETE", f"{PATH}/{found['id']}")
        if one.settings.is_json:
            print_json({"revoked": found["id"]})
        say(f"The token {found['name']} was revoked.")


def _all(one: Session) -> list[Frame]:
    found: list[Frame] = one.server.get(PATH)["items"]
    return found


def _row(found: Frame) -> tuple[object, ...]:
    row = (found["id"], found["name"], found["prefix"], " ".join(found["scopes"]))
    times = moment(found["expires_at"]), moment(found["used_at"]) or "never"
    return (*row, *times, moment(found["made_at"]))
