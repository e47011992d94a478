"""Commands about reservations: `reservation list`, `make` and `cancel NUMBER`.

`list` prints those of one week, also of other users, by time and amount alone.
"""

import argparse
import json
from datetime import UTC, datetime

from orchestration.amounts import count_of, mib
from testbed.client.api import Client, Frame
from testbed.client.screen import say


def add_reservations(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
) -> None:
    """Add the commands about reservations to a command line."""
    parser = commands.add_parser("reservation", help="keep a host's capacity")
    verbs = parser.add_subparsers(dest="verb", required=True)
    listing = verbs.add_parser("list", help="list those of a week")
    listing.set_defaults(form="reservation-list")
    listing.add_argument("--week", default="", help="as 2026-W48; the present one else")
    listing.add_argument("--json", action="store_true", help="print them as JSON")
    make = verbs.add_parser("make", help="reserve vCPUs and memory of a host")
    make.set_defaults(form="reservation-make")
    add = make.add_argument
    add("begins", metavar="FROM", help="as 2026-11-30T08:00+01:00; without an offset")
    add("ends", metavar="UNTIL", help="in the lab's time zone, or in UTC with --utc")
    add("--vcpus", type=int, required=True, help="the vCPUs")
    add("--memory-mib", type=int, required=True, help="the memory")
    add("--host", default="", help="the one with the most left unless given")
    add("--for", dest="holder", default="", help="as olive, or 'group course'")
    add("--purpose", default="", help="for its holder and lab admins")
    add("--utc", action="store_true", help="times without an offset are in UTC")
    cancel = verbs.add_parser("cancel", help="cancel one")
    cancel.set_defaults(form="reservation-cancel")
    cancel.add_argument("number", type=int, help="its number in the list")


def list_reservations(client: Client, options: argparse.Namespace) -> None:
    """Print a week's reservations, one a line. Raises: Refused."""
    found = client.reservations(options.week)
    if options.json:
        say(json.dumps(found, indent=1))
        return
    for one in found:
        say(_line(one))


def make_reservation(client: Client, options: argparse.Namespace) -> None:
    """Make the reservation that a command line asks for. Raises: Refused."""
    names = ("host", "vcpus", "memory_mib", "begins", "ends", "holder", "purpose")
    form = {name: str(getattr(options, name)) for name in names}
    if options.utc:
        form["zone"] = "UTC"
    say(_line(client.reserve(form)))


def cancel_reservation(client: Client, options: argparse.Namespace) -> None:
    """Cancel the reservation of a number. Raises: Refused."""
    say(_line(client.cancel_reservation(options.number)))


def _line(one: Frame) -> str:
    amount = f"{count_of(one['vcpus'], 'vCPU')} and {mib(one['memory_mib'])} of memory"
    time = f"{_moment(one['begins_at'])} to {_moment(one['ends_at'])} UTC"
    purpose = f": {one['purpose']}" if one.get("purpose") else ""
    holder = f"for {one.get('holder', 'another user')}{purpose}"
    line = f"{one.get('id', '-'):>5}  {one['host']}, {amount}, {time}, {one['state']}"
    problem = f"\n       {one['problem']}" if one.get("problem") else ""
    return f"{line}, {holder}{problem}"


def _moment(text: str) -> str:
    return f"{datetime.fromisoformat(text).astimezone(UTC):%Y-%m-%d %H:%M}"
