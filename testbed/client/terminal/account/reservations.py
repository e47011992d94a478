"""`reservations`: capacity of hosts that is kept for a time."""

from collections.abc import Iterator
from contextlib import contextmanager

import click

from orchestration.amounts import mib
from testbed.client.board.moments import moment
from testbed.client.rest.problems import NotThere
from testbed.client.terminal.exits import Refusal, WrongUse
from testbed.client.terminal.options import common
from testbed.client.terminal.session import session
from testbed.client.terminal.tables import Listing, print_json, say
from testbed.client.watching import Frame

PATH = "/reservations"
COLUMNS = ("Number", "Host", "vCPUs", "Memory", "From", "Until", "State", "For")
WIDE = ("Purpose", "Made by", "Problem")


@click.group()
def reservations() -> None:
    """List, make, change and cancel reservations of hosts."""


@reservations.command("list")
@click.option("--week", default="", help="As 2026-W48; the present one unless given.")
@common
def list_reservations(week: str) -> None:
    """List the reservations of a week.

    Those of other users are shown by time and amount. JSON also has what is free on
    each host.
    """
    query = {"week": week} if week else {}
    with session() as one:
        found = list(one.server.pages(PATH, **query))
        whole: Frame = {"items": found}
        if one.settings.is_json:
            first = one.server.get(PATH, **query, per_page=1)
            whole |= {"week": first["week"], "hosts": first["hosts"]}
        LISTING.show(found, one.settings, whole=whole)


@reservations.command()
@click.argument("begins", metavar="FROM")
@click.argument("ends", metavar="UNTIL")
@click.option("--vcpus", type=click.IntRange(1), required=True, help="The vCPUs.")
@click.option(
    "--memory-mib", type=click.IntRange(1), required=True, help="The memory in MiB."
)
@click.option("--host", default="", help="The one with the most left unless given.")
@click.option(
    "--for", "holder", default="", help="As olive, or 'group course'; you unless given."
)
@click.option("--purpose", default="", help="For its holder and lab admins to read.")
@click.option("--utc", is_flag=True, help="Times without an offset are in UTC.")
@common
def make(begins: str, ends: str, utc: bool, **more: object) -> None:
    """Reserve capacity FROM a time UNTIL another, as 2026-11-30T08:00+01:00.

    Times without an offset are in the lab's time zone.
    """
    wish = {"begins": begins, "ends": ends, "zone": "UTC" if utc else "", **more}
    with session() as one:
        made = one.server.send("POST", PATH, wish, is_keyed=True)
        say(f"Reservation {made['id']} was made.")
        LISTING.show([made], one.settings, whole=made)


@reservations.command()
@click.argument("number", type=click.IntRange(1))
@click.option("--from", "begins", help="Another begin, as 2026-11-30T08:00+01:00.")
@click.option("--until", "ends", help="Another end.")
@click.option("--vcpus", type=click.IntRange(1), help="So many vCPUs instead.")
@click.option("--memory-mib", type=click.IntRange(1), help="So much memory in MiB.")
@click.option("--host", help="Another host.")
@click.option("--purpose", help="Other words for its holder and lab admins.")
@click.option("--utc", is_flag=True, help="Times without an offset are in UTC.")
@common
def change(number: int, utc: bool, **more: object) -> None:
    """Change the reservation NUMBER, which is not over; what is not named stays."""
    wish = {name: value for name, value in more.items() if value is not None}
    if not wish:
        raise WrongUse("No change is named.", hint="Use --until, say.")
    with session() as one:
        with _there(number):
            wish["zone"] = "UTC" if utc else ""
            found = one.server.send("PATCH", f"{PATH}/{number}", wish)
        say(f"Reservation {number} was changed.")
        LISTING.show([found], one.settings, whole=found)


@reservations.command()
@click.argument("number", type=click.IntRange(1))
@common
def cancel(number: int) -> None:
    """Cancel the reservation NUMBER, which is not over."""
    with session() as one:
        with _there(number):
            found = one.server.send("DELETE", f"{PATH}/{number}")
        if one.settings.is_json:
            print_json(found)
        say(f"Reservation {number} was cancelled.")


@contextmanager
def _there(number: int) -> Iterator[None]:
    """Name the reservation in the refusal of one that is not there."""
    try:
        yield
    except NotThere as exc:
        raise Refusal(
            f"There is no reservation {number} of yours.",
            hint="See `testbed reservations list`.",
        ) from exc


def _row(found: Frame) -> tuple[object, ...]:
    """Return a row; of another user's reservation the server names no more."""
    times = (moment(found["begins_at"]), moment(found["ends_at"]))
    amounts = (found["vcpus"], mib(found["memory_mib"]))
    holder = found.get("holder") or "another user"
    row = (found.get("id") or "", found["host"], *amounts, *times)
    more = [found.get(name) or "" for name in ("purpose", "made_by", "problem")]
    return (*row, found["state"], holder, *more)


LISTING = Listing(COLUMNS, _row, "Nothing is reserved in this week.", WIDE)
