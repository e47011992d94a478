"""`attach`, `logs`, `runs` and `cancel`: runs that are there already."""

import json
import sys
from collections.abc import Iterable

import click

from orchestration.terminal import plain, plain_lines
from testbed.client.board.model import name_of_run
from testbed.client.board.moments import moment
from testbed.client.rest.addresses import path_of
from testbed.client.terminal.exits import DONE, WrongUse
from testbed.client.terminal.following import attach as follow
from testbed.client.terminal.options import common
from testbed.client.terminal.session import Session, session
from testbed.client.terminal.tables import Listing, print_json, say
from testbed.client.watching import OVER, Frame

COLUMNS = ("Run", "Command", "Status", "By", "Started")
WIDE = ("Message",)


@click.command()
@click.argument("run", type=click.IntRange(1))
@click.option(
    "--after",
    type=int,
    default=0,
    metavar="EVENT",
    help="Leave out what was before this event.",
)
@common
def attach(run: int, after: int) -> int:
    """Follow the run with the number RUN to its end, from its start.

    The exit code is that of the run. Ctrl+C cancels the run, and once more leaves it.
    """
    with session() as one:
        number = one.named_run(run)
        return follow(one.server, number, is_json=one.settings.is_json, after=after)


@click.command()
@click.argument("run", type=click.IntRange(1), required=False)
@click.option("-f", "--follow", "follows", is_flag=True, help="Go on to the run's end.")
@click.option("--resource", default="", help="Lines of this guest, network or image.")
@click.option("--host", default="", help="Lines of this host.")
@common
def logs(run: int | None, follows: bool, resource: str, host: str) -> int:
    """Print the log of RUN, of the testbed's last run unless given.

    With --json each line is an object.
    """
    with session() as one:
        number = one.named_run(run) if run else _last(one)
        if follows:
            if resource or host:
                raise WrongUse(
                    "A run is followed whole.", hint="Leave out --resource and --host."
                )
            return follow(one.server, number, is_json=one.settings.is_json)
        wanted = {"resource": resource, "host": host}
        query = {name: value for name, value in wanted.items() if value}
        parts = one.server.text(f"/runs/{number}/log", **query)
        if one.settings.is_json:
            _print_lines_as_json(parts)
            return DONE
        for part in parts:
            sys.stdout.write(plain_lines(part))
    return DONE


@click.command()
@click.option(
    "-n",
    "--count",
    type=click.IntRange(1, 1000),
    default=20,
    help="So many, the newest; 20 unless given.",
)
@click.option(
    "--all", "is_all", is_flag=True, help="Those of all testbeds that go on, or ended."
)
@common
def runs(count: int, is_all: bool) -> None:
    """List the runs of the testbed, the newest first."""
    if is_all:
        _all_runs(count)
        return
    with session() as one:
        found = one.server.get(path_of(one.testbed, "runs"), per_page=count)["items"]
        listing = Listing(COLUMNS, _row, f"{one.testbed} has no run.", WIDE)
        listing.show(found, one.settings)


@click.command()
@click.argument("run", type=click.IntRange(1), required=False)
@click.option("--wait", "waits", is_flag=True, help="Wait until it is over.")
@common
def cancel(run: int | None, waits: bool) -> int:
    """Cancel RUN, the testbed's last run unless given."""
    with session() as one:
        number = one.named_run(run) if run else _last(one)
        was_over = one.server.get(f"/runs/{number}")["status"] in OVER
        found = one.server.send("POST", f"/runs/{number}/cancel")
        if waits and found["status"] not in OVER:
            follow(one.server, number, is_json=one.settings.is_json)
            found = one.server.get(f"/runs/{number}")
        if one.settings.is_json and not waits:
            print_json({"run": number, "status": found["status"]})
        over = "Nothing was cancelled: the run was over before. " if was_over else ""
        say(f"{over}Run {number}: {_state(found)}.")
    return DONE


def _all_runs(count: int) -> None:
    with session() as one:
        found = one.server.get("/activity")
        listing = Listing(
            ("Run", "Testbed", *COLUMNS[1:]),
            lambda run: (run["run"], run["testbed"], *_row(run)[1:]),
            "There is no run.",
            WIDE,
        )
        listing.show([*found["running"], *found["recent"]][:count], one.settings)


def _print_lines_as_json(parts: Iterable[str]) -> None:
    rest = ""
    for part in parts:
        *lines, rest = (rest + part).split("\n")
        for line in lines:
            sys.stdout.write(f"{json.dumps({'line': line})}\n")
    if rest:
        sys.stdout.write(f"{json.dumps({'line': rest})}\n")


def _last(one: Session) -> int:
    """Return the number of the testbed's newest run. Raises: WrongUse."""
    path = path_of(one.testbed, "runs")
    found = one.server.send("GET", path, query={"per_page": 1})["items"]
    if not found:
        raise WrongUse(f"{one.testbed} has no run.", hint="Name one by its number.")
    return int(found[0]["run"])


def _state(run: Frame) -> str:
    if run["status"] in OVER:
        return f"{run['status']}. {plain(run['message'])}".removesuffix(".")
    return f"{run['status']}, and asked to stop"


def _row(run: Frame) -> tuple[object, ...]:
    percent = f" {run['percent']} %" if run["percent"] is not None else ""
    started = moment(run["created_at"])
    status = f"{run['status']}{percent}"
    named = (run["run"], name_of_run(run), status, run["asked_by"])
    return (*named, started, run["message"])
