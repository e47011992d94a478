"""Commands about snapshots: `snapshot VERB TESTBED GUEST NAME`, or all guests at once.

With `--all` the guest is left out, and the snapshot is a group snapshot. `list` prints
what the last look at the hosts saw. Before something is lost, the server names it, and
`--yes` or a person agrees. `schedule TESTBED RHYTHM` and `unschedule` set and remove the
schedules.
"""

import argparse

from orchestration.errors import ExecutionRefused
from orchestration.plan.snapshots import Rhythm, SnapshotVerb
from testbed.client.api import Client, Frame, StartedRun
from testbed.client.board.snapshots import tree_lines
from testbed.client.screen import say

LIST, SCHEDULE, UNSCHEDULE = "list", "schedule", "unschedule"
ALL = "@all"


def add_snapshot(parser: argparse.ArgumentParser) -> None:
    """Add the words and options of `snapshot`."""
    parser.set_defaults(form="snapshot")
    add = parser.add_argument
    add(
        "verb",
        choices=(*SnapshotVerb, LIST, SCHEDULE, UNSCHEDULE),
        help="what is done with the snapshot",
    )
    add("testbed", help="its name, owner/name or key")
    add("words", nargs="*", metavar="GUEST NAME", help="the guest's name, and its own")
    add("--all", action="store_true", help="a group snapshot: only its NAME is written")
    add("--description", default="", help="words about a new one")
    add("--before", default="", metavar="NAME", help="keep the present state first")
    add("--children", action="store_true", help="delete all below it, too")
    add("--title", default="", help="the name that is shown from now on")
    add("--keep", type=int, default=7, help="of each guest, the last of a schedule")
    add(
        "--every-h",
        type=int,
        default=6,
        help="hours of the hourly one, 1 to 23, from midnight",
    )
    add("--at", default="02:00", help="the time of the nightly or weekly schedule")
    add("--weekday", type=int, default=0, help="of the weekly schedule, 0 for Sunday")
    add("--yes", action="store_true", help="erase what the server names, do not ask")


def started(client: Client, options: argparse.Namespace) -> StartedRun:
    """Request an act. Raises: Refused, ExecutionRefused (words are missing)."""
    guest, name = _words(options)
    wish = {
        "name": name,
        "description": options.description,
        "before": options.before,
        "children": options.children,
        "title": options.title,
    }
    return client.snapshot(options.testbed, options.verb, guest, **wish)


def schedule(client: Client, options: argparse.Namespace) -> None:
    """Set or remove the schedule of a rhythm. Raises: Refused, ExecutionRefused."""
    words = list(options.words)
    if len(words) != 1 or words[0] not in list(Rhythm):
        raise ExecutionRefused(f"Write a rhythm: {', '.join(Rhythm)}.")
    form = {"rhythm": words[0]}
    if options.verb == UNSCHEDULE:
        form["remove"] = "1"
    else:
        for name in ("keep", "every_h", "at", "weekday"):
            form[name] = str(getattr(options, name))
    _show_schedules(client.schedule_snapshots(options.testbed, form))


def show(client: Client, options: argparse.Namespace) -> None:
    """Print the snapshots of a testbed, those of groups first. Raises: Refused."""
    found = client.all_snapshots(options.testbed)
    if not options.words:
        for group in found["groups"]:
            say(_group_line(group))
    if options.all:
        return
    for guest in found["guests"]:
        if not options.words or guest["guest"] in options.words:
            say(f"{guest['guest']} on {guest['host']}:")
            for line in tree_lines(guest["snapshots"]):
                say(line)
    if not options.words:
        _show_schedules(found["schedules"])


def _show_schedules(found: list[Frame]) -> None:
    for one in found:
        words = f" {one['said']}" if one["said"] else ""
        say(f"{one['rhythm']}: {one['when']}, the last {one['keep']} stay.{words}")


def _words(options: argparse.Namespace) -> tuple[str, str]:
    """Return the guest and the snapshot. Raises: ExecutionRefused."""
    words = list(options.words)
    if options.all:
        is_of_latest = options.verb == SnapshotVerb.RESTORE and not words
        if len(words) != 1 and not is_of_latest:
            raise ExecutionRefused("With --all, write the snapshot's name alone.")
        return ALL, "".join(words)
    if len(words) != 2:
        raise ExecutionRefused("Write a guest's name and a snapshot's, or --all.")
    return words[0], words[1]


def _group_line(group: Frame) -> str:
    lacks = f", without {', '.join(group['missing'])}" if group["missing"] else ""
    words = f": {group['description']}" if group["description"] else ""
    return f"{group['name']}, all guests, {group['created_at']}{lacks}{words}"
