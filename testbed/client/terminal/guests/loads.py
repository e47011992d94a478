"""`load`: what a guest or a host used in the last hour or week."""

from urllib.parse import quote

import click

from testbed.client.rest.addresses import path_of
from testbed.client.terminal.exits import WrongUse
from testbed.client.terminal.options import common
from testbed.client.terminal.session import session
from testbed.client.terminal.tables import Listing, print_json

COLUMNS = ("Of", "Last", "Least", "Mean", "Most")
# Columns of the API in words; the others are written with spaces.
_NAMES = {
    "cpu_percent": "CPU",
    "memory_bytes": "memory",
    "disk_bytes": "disk",
    "disk_read_bytes_per_s": "disk read",
    "disk_written_bytes_per_s": "disk written",
    "received_bytes_per_s": "network received",
    "sent_bytes_per_s": "network sent",
}


@click.command()
@click.argument("guest", default="")
@click.option("--host", default="", help="Of this host, instead of a guest.")
@click.option(
    "--period",
    type=click.Choice(["hour", "week"]),
    default="hour",
    help="The last hour, or the last week by means of a minute; the hour unless given.",
)
@common
def load(guest: str, host: str, period: str) -> None:
    """Show the load of GUEST, or of a host; JSON has every sample."""
    if bool(guest) == bool(host):
        raise WrongUse(
            "One guest or one host has a load.", hint="Name GUEST, or use --host."
        )
    with session() as one:
        name = quote(host or guest, safe="")
        path = f"/hosts/{name}" if host else path_of(one.testbed, f"guests/{name}")
        found = one.server.get(f"{path}/load", period=period)
        if one.settings.is_json:
            print_json(found)
            return
        rows = [
            (_name(column), *(row[key] for key in ("last", "least", "mean", "most")))
            for column, row in found["table"].items()
        ]
        empty = f"Nothing was observed of {host or guest} in the last {period}."
        Listing(COLUMNS, lambda row: row, empty).show(rows, one.settings)


def _name(column: str) -> str:
    return _NAMES.get(column, column.replace("_", " "))
