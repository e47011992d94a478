"""`groups`: users with whom testbeds are shared together, and their members."""

import click

from testbed.client.rest.addresses import account_of
from testbed.client.terminal.exits import Refusal
from testbed.client.terminal.options import common
from testbed.client.terminal.session import Session, session
from testbed.client.terminal.tables import Listing, print_json, print_lines, say
from testbed.client.watching import Frame

PATH = "/groups"


@click.group()
def groups() -> None:
    """List groups, and change the members of those that you manage."""


@groups.command("list")
@common
def list_groups() -> None:
    """List the groups that you belong to or manage; a lab admin sees all."""
    with session() as one:
        listing = Listing(
            ("Group", "Managers"),
            lambda found: (found["name"], ", ".join(found["managers"])),
            "You are in no group.",
        )
        listing.show(list(one.server.pages(PATH)), one.settings)


@groups.command()
@click.argument("group")
@common
def info(group: str) -> None:
    """Show the managers and members of GROUP."""
    with session() as one:
        _show(one, one.server.get(f"{PATH}/{number_of_group(one, group)}"))


@groups.command()
@click.argument("group")
@click.argument("user")
@common
def add(group: str, user: str) -> None:
    """Add USER to GROUP, as its manager."""
    _change("PUT", group, user, "is a member of")


@groups.command()
@click.argument("group")
@click.argument("user")
@common
def remove(group: str, user: str) -> None:
    """Remove USER from GROUP, as its manager; what is shared with it ends for USER."""
    _change("DELETE", group, user, "is no member of")


def _change(method: str, group: str, user: str, words: str) -> None:
    with session() as one:
        path = f"{PATH}/{number_of_group(one, group)}/members/{account_of(user)}"
        found = one.server.send(method, path)
        say(f"{user} {words} {group}.")
        if found["note"]:
            say(found["note"])
        _show(one, found)


def number_of_group(one: Session, group: str) -> int:
    """Return the number of a group. Raises: Refusal (there is none of this name)."""
    for found in one.server.pages(PATH):
        if found["name"] == group:
            return int(found["id"])
    raise Refusal(
        f"There is no group {group}, or it is none of yours.",
        hint="See `testbed groups list`.",
    )


def _show(one: Session, found: Frame) -> None:
    if one.settings.is_json:
        print_json(found)
        return
    print_lines(
        [
            f"group: {found['name']}",
            f"managers: {', '.join(found['managers']) or '-'}",
            f"members: {', '.join(found['members']) or '-'}",
        ]
    )
