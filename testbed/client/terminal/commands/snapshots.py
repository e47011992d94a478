"""`snapshot`: guests kept as they are at a moment, listed, restored and deleted."""

from datetime import UTC, datetime
from typing import Any

import click

from orchestration.amounts import size
from testbed.client.board.moments import moment
from testbed.client.board.snapshots import tree_lines
from testbed.client.rest.addresses import path_of
from testbed.client.terminal.agreement import yes_option
from testbed.client.terminal.exits import Refusal, WrongUse
from testbed.client.terminal.following import drive
from testbed.client.terminal.options import Command, common
from testbed.client.terminal.session import session
from testbed.client.terminal.tables import print_json, print_lines, say
from testbed.client.watching import Frame

ALL = "@all"


def _named(command: Command) -> Command:
    """Give a command the options that name a guest and its snapshot."""
    for option in reversed(_NAMES):
        command = option(command)
    return command


_NAMES = (
    click.option("-n", "--name", "guest", default="", help="The guest."),
    click.option("-s", "--snapshot", default="", help="The snapshot."),
    click.option("-a", "--all", "is_all", is_flag=True, help="All guests at once."),
)


@click.group()
def snapshot() -> None:
    """Keep guests as they are at a moment, and restore them."""


@snapshot.command()
@_named
@click.option("--description", default="", help="Words about it.")
@common
def create(guest: str, snapshot: str, is_all: bool, description: str) -> int:
    """Take the snapshot -s of the guest -n, or of all guests with -a.

    With -a and no name it is called after the present time.
    """
    if is_all and not snapshot:
        snapshot = f"group-{datetime.now(UTC):%Y-%m-%dT%H-%M-%SZ}"
    return _act("create", guest, snapshot, is_all, description=description)


@snapshot.command()
@_named
@click.option("--before", default="", help="Keep the present state under this name.")
@yes_option
@common
def restore(guest: str, snapshot: str, is_all: bool, before: str, yes: bool) -> int:
    """Restore the snapshot -s of the guest -n, or that of all guests with -a.

    With -a and no name each guest returns to its latest one.
    """
    return _act("restore", guest, snapshot, is_all, yes=yes, before=before)


@snapshot.command()
@_named
@click.option("--children", is_flag=True, help="Those below it, too.")
@yes_option
@common
def delete(guest: str, snapshot: str, is_all: bool, children: bool, yes: bool) -> int:
    """Delete the snapshot -s of the guest -n, or that of all guests with -a.

    With -a and the guest -n, and no name, all snapshots of this guest are deleted.
    """
    if not (guest and is_all):
        return _act("delete", guest, snapshot, is_all, yes=yes, children=children)
    if snapshot or children:
        raise WrongUse(
            "-n with -a is all snapshots of the guest.",
            hint="Leave out -s and --children; or leave out -a for one snapshot, "
            "or -n for the group snapshot.",
        )
    return _start({"verb": "delete", "guest": guest, "every": True}, yes=yes)


@snapshot.command()
@click.option("-n", "--name", "guest", required=True, help="The guest.")
@click.option("-s", "--snapshot", required=True, help="The snapshot.")
@click.option("--title", required=True, help="Is shown instead of the name.")
@common
def rename(guest: str, snapshot: str, title: str) -> int:
    """Show the snapshot -s of the guest -n under another title.

    Its name stays, and so do group snapshots.
    """
    return _act("rename", guest, snapshot, False, title=title)


@snapshot.command("yaml")
@click.option("-s", "--snapshot", required=True, help="The group snapshot.")
@common
def put_yaml_back(snapshot: str) -> None:
    """Make the YAML that was kept with a group snapshot the present one."""
    with session() as one:
        path = path_of(one.testbed, "snapshots/yaml")
        found = one.server.send("POST", path, {"name": snapshot})
        if one.settings.is_json:
            print_json(found)
        say(
            f"The YAML of {snapshot} is the present one; the former is {found['kept']}."
        )


@snapshot.command("list")
@click.option("-n", "--name", "guest", default="", help="Those of this guest alone.")
@click.option("-a", "--all", "is_all", is_flag=True, help="Those of all guests alone.")
@common
def list_snapshots(guest: str, is_all: bool) -> None:
    """List the snapshots that the last look at the hosts saw, parents first."""
    if guest and is_all:
        raise WrongUse(
            "-a is of all guests.", hint="Leave out -n, or leave out -a for one guest."
        )
    with session() as one:
        query = {"guest": guest} if guest else {}
        found = one.server.get(path_of(one.testbed, "snapshots"), **query)
        if one.settings.is_json:
            print_json(found)
            return
        lines = [_group_line(group) for group in found["groups"]]
        for each in () if is_all else found["guests"]:
            lines.append(f"{each['guest']} on {each['host']}:")
            lines += tree_lines(each["snapshots"])
        print_lines(lines)
        if not lines:
            say("There is no snapshot.")


@snapshot.command()
@click.option("-n", "--name", "guest", required=True, help="The guest.")
@click.option("-s", "--snapshot", default="", help="This snapshot alone.")
@common
def info(guest: str, snapshot: str) -> None:
    """Show the snapshots of the guest -n with all that is known."""
    with session() as one:
        path = path_of(one.testbed, "snapshots")
        found = one.server.get(path, guest=guest)["guests"][0]["snapshots"]
        chosen = [each for each in found if snapshot in ("", each["name"])]
        if snapshot and not chosen:
            raise Refusal(
                f"{guest} has no snapshot {snapshot}.",
                hint="See `testbed snapshot list`.",
            )
        if one.settings.is_json:
            print_json({"items": chosen})
            return
        for number, each in enumerate(chosen):
            print_lines([""] if number else [])
            print_lines(f"{key}: {_shown(key, value)}" for key, value in each.items())


def _act(
    verb: str, guest: str, name: str, is_all: bool, *, yes: bool = False, **more: object
) -> int:
    """Act on one snapshot or on a group's. Raises: WrongUse."""
    if is_all and guest:
        raise WrongUse("-a is of all guests.", hint="Leave out -n.")
    if not is_all and not guest:
        raise WrongUse("No guest is named.", hint="Name one with -n, or all with -a.")
    if not name and not (is_all and verb == "restore"):
        more_words = (
            ", or a guest with -n for all of its snapshots"
            if is_all and verb == "delete"
            else ""
        )
        raise WrongUse("No snapshot is named.", hint=f"Name it with -s{more_words}.")
    wish = {"verb": verb, "guest": ALL if is_all else guest, "name": name, **more}
    return _start(wish, yes=yes)


def _start(wish: Frame, *, yes: bool) -> int:
    """Start an act on snapshots, and follow it to its end."""
    with session(yes=yes) as one:
        run = one.server.start(path_of(one.testbed, "snapshots"), wish)
        return drive(one.server, run, is_json=one.settings.is_json)


def _shown(key: str, value: Any) -> object:
    """Return a value of a snapshot in words."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not value:
        return "-"
    if key.endswith("_at"):
        return moment(str(value))
    return size(value) if key == "memory_bytes" else value


def _group_line(group: Frame) -> str:
    lacks = f", without {', '.join(group['missing'])}" if group["missing"] else ""
    words = f": {group['description']}" if group["description"] else ""
    return f"{group['name']}, all guests, {moment(group['created_at'])}{lacks}{words}"
