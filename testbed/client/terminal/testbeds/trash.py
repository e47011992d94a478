"""`trash`: deleted testbeds and files, brought back or removed for good."""

import click

from orchestration.amounts import count_of, size
from testbed.client.board.moments import moment
from testbed.client.rest.problems import NotThere
from testbed.client.terminal.agreement import yes_option
from testbed.client.terminal.exits import Refusal
from testbed.client.terminal.options import common
from testbed.client.terminal.session import session
from testbed.client.terminal.tables import Listing, print_json, say
from testbed.client.watching import Frame

PATH = "/trash"
COLUMNS = ("Number", "Testbed", "File", "Size", "Deleted", "Until")
WIDE = ("Owner", "Deleted by")


@click.group()
def trash() -> None:
    """List, restore and remove what was deleted."""


@trash.command("list")
@common
def list_trash() -> None:
    """List what you may restore."""
    with session() as one:
        found = list(one.server.pages(PATH))
        Listing(COLUMNS, _row, "The trash is empty.", WIDE).show(found, one.settings)


@trash.command()
@click.argument("number", type=click.IntRange(1))
@common
def restore(number: int) -> None:
    """Bring the testbed or file NUMBER back."""
    with session() as one:
        try:
            found = one.server.send("POST", f"{PATH}/{number}/restore")
        except NotThere as exc:
            raise _none(number) from exc
        if one.settings.is_json:
            print_json(found)
        say(found["restored"])


@trash.command()
@click.argument("number", type=click.IntRange(1))
@yes_option
@common
def remove(number: int, yes: bool) -> None:
    """Remove the testbed or file NUMBER for good."""
    with session(yes=yes) as one:
        try:
            found = one.server.delete(f"{PATH}/{number}")
        except NotThere as exc:
            raise _none(number) from exc
        if one.settings.is_json:
            print_json(found)
        say(f"{count_of(found['removed'], 'thing')} removed for good.")


@trash.command()
@yes_option
@common
def empty(yes: bool) -> None:
    """Remove all that your own trash holds for good."""
    with session(yes=yes) as one:
        found = one.server.delete(PATH)
        if one.settings.is_json:
            print_json(found)
        say(f"{count_of(found['removed'], 'thing')} removed for good.")


def _none(number: int) -> Refusal:
    return Refusal(
        f"Nothing in the trash has the number {number}.",
        hint="See `testbed trash list`.",
    )


def _row(found: Frame) -> tuple[object, ...]:
    times = moment(found["deleted_at"]), moment(found["until"])
    row = (found["id"], found["testbed"], found["path"], size(found["bytes"]), *times)
    return (*row, found["owner"], found["deleted_by"])
