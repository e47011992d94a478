"""`plan` and `diff`: what `up` would do, with the folder's files, and nothing changed."""

import json
from dataclasses import asdict

import click

from orchestration.amounts import count_of
from orchestration.plan.model import Command, Options
from orchestration.state.diff.changes import diff as state_diff
from testbed.client.rest.problems import NotThere
from testbed.client.terminal.exits import Refusal
from testbed.client.terminal.options import common
from testbed.client.terminal.session import Session, session
from testbed.client.terminal.synchronising import Inputs, compared, fetch_inputs
from testbed.client.terminal.tables import print_json, print_lines, say


@click.command()
@click.option("-p", "--provision", is_flag=True, help="As of `up`.")
@click.option("-r", "--rerun-scripts", is_flag=True, help="As of `up`.")
@click.argument(
    "command", type=click.Choice([one.value for one in Command][:4]), default="up"
)
@common
def plan(provision: bool, rerun_scripts: bool, command: str) -> None:
    """Show what COMMAND would do with the folder's files, `up` unless given.

    Nothing is sent and nothing is changed.
    """
    options = Options(provision=provision, rerun_scripts=rerun_scripts)
    with session() as one:
        inputs = _inputs(one)
        folder = one.settings.yaml.parent
        found = inputs.situation.planned(Command(command), options, folder)
        if one.settings.is_json:
            print_json(json.loads(found.to_json()))
        else:
            print_lines(found.to_text().splitlines())


@click.command()
@common
def diff() -> None:
    """Show what `up` would change: files on the server, and guests on the hosts."""
    with session() as one:
        inputs = _inputs(one)
        decision = compared(one.settings.yaml.parent, inputs)
        situation, folder = inputs.situation, one.settings.yaml.parent
        wanted = situation.wanted(folder)
    known, is_json = situation.known, one.settings.is_json
    changes = None if known is None else state_diff(known, wanted)
    conflicts = {found.path: found.reason for found in decision.conflicts}
    if is_json:
        files = {"changed": decision.changes, "conflicts": conflicts}
        guests = None if changes is None else asdict(changes)
        print_json({"files": files, "is_new": known is None, "changes": guests})
        return
    for path in decision.changes:
        reason = f": {conflicts[path]}" if path in conflicts else ""
        print_lines([f"file {path}{reason}"])
    if changes is None:
        print_lines([f"{count_of(len(wanted.guests), 'guest')}, all new"])
    elif not changes.is_empty:
        print_lines(changes.to_text().splitlines())
    elif not decision.changes:
        say(f"{one.testbed} is as the folder wants it.")


def _inputs(one: Session) -> Inputs:
    try:
        return fetch_inputs(one.server, one.testbed)
    except NotThere as exc:
        raise Refusal(
            f"{one.testbed} is not on the server yet.",
            hint="`testbed testbeds create` or `testbed up` makes it.",
        ) from exc
