"""`quota`: what a user or a testbed uses of what it may."""

import click

from orchestration.amounts import size
from testbed.client.rest.addresses import path_of
from testbed.client.terminal.options import common
from testbed.client.terminal.session import session
from testbed.client.terminal.tables import Listing
from testbed.client.watching import Frame

COLUMNS = ("Limit of", "Used", "Limit", "Percent")
WIDE = ("Note",)


@click.command()
@click.argument("name", default="")
@common
def quota(name: str) -> None:
    """Show what you use of what you may, or what the testbed NAME and its account use."""
    with session() as one:
        path = path_of(one.full_name(name), "budgets") if name else "/me/budgets"
        found = one.server.get(path)
        budgets = [*found["quota"], *found["items"]]
        listing = Listing(COLUMNS, _row, "There is no limit.", WIDE)
        listing.show(budgets, one.settings, whole=found)


def _row(budget: Frame) -> tuple[object, ...]:
    used, limit = budget["used"], budget["limit"]
    if budget["in_bytes"]:
        used, limit = size(used), size(limit)
    return (budget["name"], used, limit, budget["percent"], budget["note"])
