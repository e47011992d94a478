"""Commands that change or delete a testbed, and the question before something dies.

`up`, `down`, `generate-artefacts` and `clear-artefacts` are the runs of a testbed,
`recreate` makes single guests anew, `delete` removes a testbed or one of its files,
`rename` gives a testbed another name, `extend` and `at-end` move its end, `protect` and `lift` decide whether any of that is
accepted, and `restore` brings back what `trash` lists.
The server says what an act erases: it is printed by name and size, then `--yes` agrees,
or a person who types the name.
"""

import argparse
import sys
from datetime import UTC, datetime

from orchestration.amounts import size
from testbed.client.api import Agrees, Client, Frame, StartedRun
from testbed.client.screen import say

RUNS = {
    "up": "bring a testbed up",
    "down": "stop a testbed; its disks stay",
    "generate-artefacts": "write the artefacts",
    "clear-artefacts": "erase the disks and artefacts",
}


AT_END = ("snapshot", "stop", "keep")


def add_changes(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    """Add the commands that change a testbed to a command line."""
    for command, about in RUNS.items():
        parser = commands.add_parser(command, help=about)
        parser.set_defaults(form="run")
        _add_testbed(parser)
        if command == "up":
            for option, does in (
                ("provision", "make all disks anew, which erases their data"),
                ("rerun-scripts", "run setup scripts again that ran before"),
            ):
                parser.add_argument(f"--{option}", action="store_true", help=does)
    recreate = commands.add_parser("recreate", help="make guests anew from their image")
    recreate.set_defaults(form="recreate")
    _add_testbed(recreate)
    recreate.add_argument("guests", help="as web-[0-3], web-*, @all, @failed")
    for verb, about in (
        ("protect", "refuse all that erases a testbed's data, or a guest's"),
        ("lift", "lift such a protection"),
    ):
        parser = commands.add_parser(verb, help=about)
        parser.set_defaults(form="protect")
        parser.add_argument("testbed", help="its name, owner/name or key")
        parser.add_argument("guest", nargs="?", default="", help="one of its guests")
    rename = commands.add_parser("rename", help="give a testbed another name")
    rename.set_defaults(form="rename")
    rename.add_argument("testbed", help="its name, owner/name or key")
    rename.add_argument("name", help="its new name")
    extend = commands.add_parser("extend", help="let a testbed end later")
    extend.set_defaults(form="extend")
    extend.add_argument("testbed", help="its name, owner/name or key")
    when = extend.add_mutually_exclusive_group()
    when.add_argument("--hours", help="from now; the usual time more unless given")
    when.add_argument("--until", metavar="TIME", help="as 2026-11-28T18:00+01:00")
    choice = commands.add_parser("at-end", help="choose what a testbed's end does")
    choice.set_defaults(form="extend")
    choice.add_argument("testbed", help="its name, owner/name or key")
    choice.add_argument("at_end", choices=AT_END, help="keep is for lab admins")
    trash = commands.add_parser("trash", help="list deleted testbeds and files")
    trash.set_defaults(form="trash")
    restore = commands.add_parser("restore", help="bring one of these back")
    restore.set_defaults(form="restore")
    restore.add_argument("number", type=int, help="its number in the list")
    delete = commands.add_parser("delete", help="delete a testbed, or a file of it")
    delete.set_defaults(form="delete")
    _add_testbed(delete)
    delete.add_argument("path", nargs="?", default="", help="the file's path in it")


def agreement(options: argparse.Namespace) -> Agrees:
    """Return what prints the things that die, and agrees or asks."""

    def agrees(erases: Frame) -> bool:
        for line in _lines(erases):
            say(line, to=sys.stderr)
        if getattr(options, "yes", False):
            return True
        if not sys.stdin.isatty():
            say("Nothing was done. Add --yes to erase this.", to=sys.stderr)
            return False
        name = erases["must_type"]
        wanted = f"type {name}" if name else "type yes"
        sys.stderr.write(f"To erase this, {wanted}: ")
        sys.stderr.flush()
        if sys.stdin.readline().strip() == (name or "yes"):
            return True
        say(f"That is not {name or 'yes'}. Nothing was done.", to=sys.stderr)
        return False

    return agrees


def started(client: Client, options: argparse.Namespace) -> StartedRun:
    """Start the run that a command line asks for. Raises: Refused."""
    if options.form == "recreate":
        return client.up_guests(options.testbed, "recreate", options.guests)
    switches = {
        name: getattr(options, name, False) for name in ("provision", "rerun_scripts")
    }
    return client.start(options.testbed, options.command, **switches)


def show_trash(client: Client, options: argparse.Namespace) -> None:
    """Print the deleted things, one a line. Raises: Refused."""
    for item in client.trash():
        thing = (
            f"{item['path']} of {item['testbed']}" if item["path"] else item["testbed"]
        )
        until = item["until"][:16].replace("T", " ")
        say(f"{item['id']:>5}  {thing}, {size(item['bytes'])}, until {until}")


def restore(client: Client, options: argparse.Namespace) -> None:
    """Bring back what a command line names. Raises: Refused."""
    say(client.restore(options.number))


def rename(client: Client, options: argparse.Namespace) -> None:
    """Give a testbed another name. Raises: Refused."""
    found = client.rename_testbed(options.testbed, options.name)
    say(f"{options.testbed} is {found} now.")


def protect(client: Client, options: argparse.Namespace) -> None:
    """Protect what a command line names, or lift that. Raises: Refused."""
    is_lift = options.command == "lift"
    client.protect(options.testbed, options.guest, lift=is_lift)
    state = "not protected any more" if is_lift else "protected"
    say(f"{options.guest or options.testbed} is {state}.")


def extend(client: Client, options: argparse.Namespace) -> None:
    """Move a testbed's end as a command line asks, and print it. Raises: Refused."""
    sent = {name: getattr(options, name, None) for name in ("hours", "until", "at_end")}
    form = {name: value for name, value in sent.items() if value is not None}
    found = client.expiry(options.testbed, form or {"extend": "on"})
    ends_at = found["ends_at"]
    when = "has no end"
    if ends_at:
        moment = datetime.fromisoformat(ends_at).astimezone(UTC)
        when = f"ends at {moment:%Y-%m-%d %H:%M} UTC"
    say(f"{options.testbed} {when}. At the end: {found['at_end']}.")


def delete(client: Client, options: argparse.Namespace) -> None:
    """Delete what a command line names. Raises: Refused."""
    if options.path:
        client.delete_file(options.testbed, options.path)
    else:
        client.delete_testbed(options.testbed)
    say(f"{options.path or options.testbed} was deleted.")


def _lines(erases: Frame) -> list[str]:
    """Return what dies and what stays, one thing a line."""
    lines = ["This is erased:"]
    for loss in erases["losses"]:
        seen = loss["bytes"]
        amount = "size not seen" if seen is None else size(seen)
        where = f" on {loss['host']}" if loss["host"] else ""
        why = f" ({loss['reason']})" if loss["reason"] else ""
        lines.append(f"  {loss['sort']} {loss['name']}{where}, {amount}{why}")
    return [*lines, *erases["kept"]]


def _add_testbed(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("testbed", help="its name, owner/name or key")
    parser.add_argument(
        "--yes", action="store_true", help="erase what the server names, and do not ask"
    )
