"""`record`: who did what to a testbed, or in the lab."""

import click

from testbed.client.board.moments import moment
from testbed.client.rest.addresses import path_of
from testbed.client.terminal.options import common
from testbed.client.terminal.session import session
from testbed.client.terminal.tables import Listing
from testbed.client.watching import Frame

COLUMNS = ("When", "User", "Act", "Thing", "What", "Outcome")
WIDE = ("Role", "Run", "Said", "Address")


@click.command()
@click.option("--lab", is_flag=True, help="Of the whole lab; for lab admins.")
@click.option("--user", default="", help="Acts of this user alone.")
@click.option("--act", default="", help="This act alone, as the list shows it.")
@click.option("--text", default="", help="Entries with these words alone.")
@click.option("--outcome", default="", help="With this outcome alone, as refused.")
@click.option("--since", default="", help="From this day on, as 2026-11-01.")
@click.option("--until", default="", help="To the end of this day.")
@click.option(
    "-n", "--count", type=click.IntRange(1, 1000), default=50, help="So many, 50 else."
)
@common
def record(lab: bool, count: int, **filters: str) -> None:
    """Show the record of the testbed, the newest entries first.

    Its owner and lab admins may read it.
    """
    query = {name: value for name, value in filters.items() if value}
    with session() as one:
        path = "/record" if lab else path_of(one.testbed, "record")
        found = one.server.get(path, **query, per_page=count)["items"]
        empty = "The record has no such entry."
        Listing(COLUMNS, _row, empty, WIDE).show(found, one.settings)


def _row(found: Frame) -> tuple[object, ...]:
    about = (found["act"], found["thing"], found["what"], found["outcome"])
    more = (found["role"], found["run"] or "", found["said"], found["address"] or "")
    return (moment(found["at"]), found["user"], *about, *more)
