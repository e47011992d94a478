"""`schedules`: when snapshots of a testbed's guests are taken by themselves."""

import re

import click

from testbed.client.board.moments import moment
from testbed.client.rest.addresses import path_of
from testbed.client.terminal.agreement import yes_option
from testbed.client.terminal.exits import WrongUse
from testbed.client.terminal.options import common
from testbed.client.terminal.session import Session, session
from testbed.client.terminal.tables import Listing, print_json, say
from testbed.client.watching import Frame

COLUMNS = ("Schedule", "When", "Keep", "Next")
_TIME = re.compile(r"([01][0-9]|2[0-3]):[0-5][0-9]")
WIDE = ("Set by", "Last tried", "Run", "Said")
DAYS = (
    "sunday",
    "monday",
    "tuesday",
    "wednesday",
    "thursday",
    "friday",
    "saturday",
)


def _time_of_day(ctx: click.Context, option: click.Parameter, at: str | None) -> object:
    """Return a time that is one. Raises: click.BadParameter."""
    if at is not None and not _TIME.fullmatch(at):
        raise click.BadParameter(f"{at} is no time of a day; write it as 03:00.")
    return at


rhythm_argument = click.argument(
    "rhythm", type=click.Choice(["hourly", "nightly", "weekly"])
)


@click.group()
def schedules() -> None:
    """List, set and remove the schedules of snapshots."""


@schedules.command("list")
@common
def list_schedules() -> None:
    """List the schedules of the testbed."""
    with session() as one:
        _show(one, one.server.get(path_of(one.testbed, "schedules"))["items"])


@schedules.command("set")
@rhythm_argument
@click.option("--every", type=int, metavar="HOURS", help="Of the hourly one.")
@click.option(
    "--at",
    metavar="HH:MM",
    callback=_time_of_day,
    help="Of the others, in the lab's time zone.",
)
@click.option("--day", type=click.Choice(DAYS), help="Of the weekly one.")
@click.option(
    "--keep",
    type=int,
    default=7,
    help="How many of each guest stay, 7 unless given.",
)
@yes_option
@common
def set_schedule(
    rhythm: str,
    every: int | None,
    at: str | None,
    day: str | None,
    keep: int,
    yes: bool,
) -> None:
    """Take snapshots of all guests by RHYTHM, and keep the newest.

    A schedule of this rhythm that is there is replaced.
    """
    allowed = {"hourly": {"every"}, "nightly": {"at"}, "weekly": {"at", "day"}}
    given = {"every": every, "at": at, "day": day}
    for name, value in given.items():
        if value is not None and name not in allowed[rhythm]:
            words = " and ".join(f"--{one}" for one in sorted(allowed[rhythm]))
            raise WrongUse(
                f"--{name} is of no {rhythm} schedule.", hint=f"Use {words}."
            )
    wish: dict[str, object] = {"keep": keep}
    if every is not None:
        wish["every_h"] = every
    if at is not None:
        wish["at"] = at
    if day is not None:
        wish["weekday"] = DAYS.index(day)
    with session(yes=yes) as one:
        path = path_of(one.testbed, f"schedules/{rhythm}")
        _show(one, one.server.change("PUT", path, wish)["items"])


@schedules.command()
@rhythm_argument
@common
def remove(rhythm: str) -> None:
    """Take no more snapshots by RHYTHM; those that there are stay."""
    with session() as one:
        one.server.send("DELETE", path_of(one.testbed, f"schedules/{rhythm}"))
        if one.settings.is_json:
            print_json({"removed": rhythm})
        say(f"No {rhythm} snapshots of {one.testbed} are taken any more.")


def _show(one: Session, found: list[Frame]) -> None:
    empty = f"{one.testbed} has no schedule."
    Listing(COLUMNS, _row, empty, WIDE).show(found, one.settings)


def _row(found: Frame) -> tuple[object, ...]:
    row = (found["rhythm"], found["when"], found["keep"], moment(found["next_at"]))
    said = (moment(found["tried_at"]), found["run"] or "", found["said"])
    return (*row, found["set_by"], *said)
