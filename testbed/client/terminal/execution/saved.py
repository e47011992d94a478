"""`commands`: saved commands of a testbed, with parameters, and their runs."""

from typing import Any

import click

from testbed.client.board.moments import moment
from testbed.client.rest.addresses import path_of
from testbed.client.terminal.execution.programs import (
    driven,
    execution_of,
    pair,
    program,
)
from testbed.client.terminal.exits import Refusal
from testbed.client.terminal.options import common
from testbed.client.terminal.session import Session, session
from testbed.client.terminal.tables import Listing, print_json, say
from testbed.client.watching import Frame

COLUMNS = ("Number", "Name", "Parameters", "For")
WIDE = ("Saved by", "Saved", "Problem")


@click.group()
def commands() -> None:
    """List, save, run and delete saved commands."""


@commands.command("list")
@common
def list_commands() -> None:
    """List the saved commands that you may run on the testbed."""
    with session() as one:
        empty = "There is no saved command."
        Listing(COLUMNS, _row, empty, WIDE).show(_all(one), one.settings)


@commands.command()
@click.argument("name")
@click.argument("guests")
@click.argument("words", nargs=-1)
@click.option("--shared", is_flag=True, help="For all testbeds; as a lab admin.")
@program
@common
def save(
    name: str, guests: str, words: tuple[str, ...], shared: bool, **options: Any
) -> None:
    """Save a command for GUESTS as NAME, in place of one of this name.

    Its options are those of `testbed exec`. `{word}` in it is a parameter.
    """
    wish = {"name": name, "execution": execution_of(guests, words, options)}
    with session() as one:
        path = path_of(one.testbed, "commands")
        found = one.server.send("POST", path, {**wish, "shared": shared})
        if one.settings.is_json:
            print_json(found)
        say(f"The command {name} was saved as number {found['id']}.")


@commands.command()
@click.argument("command")
@click.argument("values", nargs=-1, metavar="[NAME=VALUE]...")
@click.option("--on", default="", help="These guests, instead of those saved.")
@common
def run(command: str, values: tuple[str, ...], on: str) -> int:
    """Run COMMAND, a name or number, with values for its parameters."""
    with session() as one:
        found = _named(one, command)
    place = f"commands/{found['id']}/run"
    body: Frame = {"values": dict(map(pair, values)), "selection": on}
    return driven(place, body, is_tool=bool(found["execution"].get("tool")))


@commands.command()
@click.argument("command")
@common
def delete(command: str) -> None:
    """Delete COMMAND, a name or number; a shared one as a lab admin."""
    with session() as one:
        found = _named(one, command)
        one.server.send("DELETE", path_of(one.testbed, f"commands/{found['id']}"))
        if one.settings.is_json:
            print_json({"deleted": found["id"]})
        say(f"The command {found['name']} was deleted.")


def _all(one: Session) -> list[Frame]:
    found: list[Frame] = one.server.get(path_of(one.testbed, "commands"))["items"]
    return found


def _named(one: Session, word: str) -> Frame:
    """Return a saved command; the testbed's own before a shared one. Raises: Refusal."""
    found = _all(one)
    numbered = [each for each in found if str(each["id"]) == word]
    named = [each for each in found if each["name"] == word]
    for each in (*numbered, *sorted(named, key=lambda each: bool(each["shared"]))):
        return each
    raise Refusal(
        f"There is no saved command {word}.", hint="See `testbed commands list`."
    )


def _row(found: Frame) -> tuple[object, ...]:
    scope = "all testbeds" if found["shared"] else "this testbed"
    row = (found["id"], found["name"], " ".join(found["parameters"]), scope)
    return (*row, found["saved_by"], moment(found["saved_at"]), found["problem"])
