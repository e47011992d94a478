"""`hosts` and `extend`: the machines of the lab, and until when a testbed may use them."""

import click

from orchestration.amounts import mib
from testbed.client.board.moments import moment
from testbed.client.rest.addresses import path_of
from testbed.client.terminal.exits import WrongUse
from testbed.client.terminal.options import common
from testbed.client.terminal.session import session
from testbed.client.terminal.tables import Listing, print_json, say
from testbed.client.watching import Frame

COLUMNS = ("Host", "State", "Guests", "Free memory")
WIDE = ("CPUs", "Load", "Runs with", "Problem")


@click.command()
@common
def hosts() -> None:
    """List the hosts that run guests, as last observed."""
    with session() as one:
        found = list(one.server.get("/hosts")["items"])
        Listing(COLUMNS, _row, "There is no host.", WIDE).show(found, one.settings)


@click.command()
@click.option("--hours", type=int, help="So many hours from now.")
@click.option("--until", default="", help="Until then, as 2026-11-28T18:00+01:00.")
@click.option(
    "--at-end",
    type=click.Choice(["snapshot", "stop", "keep"]),
    help="Choose what the end does instead; keep is for lab admins.",
)
@common
def extend(hours: int | None, until: str, at_end: str | None) -> None:
    """Let the testbed end later: the usual time more, unless a time is named."""
    if hours is not None and until:
        raise WrongUse("Two times are named.", hint="Use --hours or --until.")
    wish: dict[str, object] = {}
    if hours is not None:
        wish["hours"] = str(hours)
    if until:
        wish["until"] = until
    if at_end:
        wish["at_end"] = at_end
    with session() as one:
        path = path_of(one.testbed, "expiry")
        found = one.server.send("POST", path, wish)
        if one.settings.is_json:
            print_json(found)
        ends = moment(found["ends_at"])
        end = f"ends at {ends}" if ends else "has no end"
        say(f"{one.testbed} {end}. {found['said']}".strip())


def _row(host: Frame) -> tuple[object, ...]:
    name = f"{host['name']} (main)" if host["main"] else host["name"]
    state = f"{host['state']}, drained" if host["drained"] else host["state"]
    free = host["free_memory_mib"]
    row = (name, state, host["guests"], "" if free is None else mib(free))
    load = "" if host["load"] is None else f"{host['load']:.1f}"
    return (*row, host["cpus"] or "", load, host["runs_with"], host["problem"])
