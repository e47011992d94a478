"""`status`: a testbed and its guests as the server saw them last."""

import click

from testbed.client.board.moments import moment
from testbed.client.rest.addresses import path_of
from testbed.client.terminal.options import common
from testbed.client.terminal.session import session
from testbed.client.terminal.tables import Listing, say
from testbed.client.watching import Frame

COLUMNS = ("Guest", "Host", "Status", "Addresses")
WIDE = ("Management", "CPU", "Seen")
NO_GUEST = "No guest is generated yet: `testbed up` does it, and starts them."


@click.command()
@click.option("--on", default="", help="These guests alone, as web-[0-3].")
@common
def status(on: str) -> None:
    """Show the testbed's condition, its guests and their addresses."""
    with session() as one:
        path = path_of(one.testbed)
        found = one.server.get(path)
        query = {"on": on} if on else {}
        guests = list(one.server.pages(f"{path}/guests", **query))
        if not one.settings.is_json:
            say(_line(found))
        whole = {**found, "guest_list": guests}
        Listing(COLUMNS, _row, NO_GUEST, WIDE).show(guests, one.settings, whole=whole)


def _line(testbed: Frame) -> str:
    ends = moment(testbed["ends_at"])
    end = f", ends at {ends}" if ends else ""
    up = f"{testbed['guests_up']} of {testbed['guests']} guests up"
    last = testbed["last_run"]
    run = f", last run {last['run']} ({last['name']}) {last['status']}" if last else ""
    return f"{testbed['testbed']}: {testbed['condition']}, {up}{end}{run}."


def _row(guest: Frame) -> tuple[object, ...]:
    addresses = [one["address"] for one in guest["addresses"] if one["address"]]
    state = guest["status"] + (" by request" if guest["by_request"] else "")
    row = (guest["guest"], guest["host"], state, ", ".join(addresses))
    load, seen = guest["cpu_percent"], moment(guest["observed_at"]) or "never"
    cpu = "" if load is None else f"{load:.0f} %"
    return (*row, guest["management_address"], cpu, seen)
