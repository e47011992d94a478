"""`quota`: what a user or a testbed uses of what it may."""

import click

from orchestration.amounts import size
from testbed.client.rest.addresses import path_of
from testbed.client.terminal.options import common
from testbed.client.terminal.session import session
from testbed.client.terminal.tables import print_json, print_table
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
        if one.settings.is_json:
            print_json(found)
            return
        is_wide = one.settings.is_wide
        columns = (*COLUMNS, *WIDE) if is_wide else COLUMNS
        budgets = [*found["quota"], *found["items"]]
        rows = [_row(budget, is_wide=is_wide) for budget in budgets]
        print_table(columns, rows, empty="There is no limit.")


def _row(budget: Frame, *, is_wide: bool) -> tuple[object, ...]:
    used, limit = budget["used"], budget["limit"]
    if budget["in_bytes"]:
        used, limit = size(used), size(limit)
    row = (budget["name"], used, limit, budget["percent"])
    return (*row, budget["note"]) if is_wide else row
