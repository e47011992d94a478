"""`up`, `down`, `generate-artefacts` and `clear-artefacts`: the runs of a testbed."""

import click

from orchestration.plan.model import Command, Options
from orchestration.plan.selected import WAYS
from testbed.client.rest.addresses import path_of
from testbed.client.rest.server import StartedRun
from testbed.client.terminal.agreement import yes_option
from testbed.client.terminal.exits import WrongUse
from testbed.client.terminal.following import drive
from testbed.client.terminal.options import common
from testbed.client.terminal.session import Session, session
from testbed.client.terminal.synchronising import Folder, synchronised
from testbed.client.terminal.tables import print_json, say

plan_option = click.option(
    "--plan-on-server",
    is_flag=True,
    help="Let the server alone plan, instead of comparing its plan with the folder's.",
)
detach_option = click.option(
    "-d", "--detach", is_flag=True, help="Start the run, and do not follow it."
)


@click.command()
@click.option(
    "-p", "--provision", is_flag=True, help="Recreate the disks, which erases them."
)
@click.option(
    "-r", "--rerun-scripts", is_flag=True, help="Run scripts again that ran before."
)
@click.option(
    "--on",
    "guests",
    default="",
    help="These guests alone, as web-[0-3]; the rest is left as it is, and the server "
    "alone plans.",
)
@plan_option
@detach_option
@yes_option
@common
def up(
    provision: bool,
    rerun_scripts: bool,
    guests: str,
    plan_on_server: bool,
    detach: bool,
    yes: bool,
) -> int:
    """Bring the testbed up, with the folder's files.

    Files that changed here are sent first. The run is planned here and on the server;
    both plans have to be the same. Ctrl+C cancels the run, and once more leaves it
    running.
    """
    options = Options(provision=provision, rerun_scripts=rerun_scripts)
    if guests:
        return _up_of_guests(guests, options, detach, yes)
    return _changed(Command.UP, options, plan_on_server, detach, yes)


@click.command("generate-artefacts")
@plan_option
@detach_option
@yes_option
@common
def generate_artefacts(plan_on_server: bool, detach: bool, yes: bool) -> int:
    """Write the artefacts of the folder's files on the server, and touch no host."""
    return _changed(Command.GENERATE_ARTEFACTS, Options(), plan_on_server, detach, yes)


@click.command()
@detach_option
@yes_option
@common
def down(detach: bool, yes: bool) -> int:
    """Stop the testbed; its disks and artefacts stay."""
    return _ended(Command.DOWN, detach, yes)


@click.command("clear-artefacts")
@detach_option
@yes_option
@common
def clear_artefacts(detach: bool, yes: bool) -> int:
    """Erase the disks of all guests and the artefacts."""
    return _ended(Command.CLEAR_ARTEFACTS, detach, yes)


def _up_of_guests(guests: str, options: Options, detach: bool, yes: bool) -> int:
    """Bring chosen guests up. Raises: WrongUse (two options)."""
    way = next((way for way in WAYS.values() if way.options == options), None)
    if way is None:
        raise WrongUse(
            "New disks run all scripts by themselves.", hint="Leave out -r, or -p."
        )
    with session(yes=yes) as one:
        testbed = one.testbed
        if one.folder:
            synchronised(Folder.of(one), testbed)
        wish = {"mode": way.mode.value, "selection": guests}
        run = one.server.start(path_of(testbed, "up"), wish)
        return _followed(one, testbed, run, detach)


def _changed(
    command: Command, options: Options, on_server: bool, detach: bool, yes: bool
) -> int:
    with session(yes=yes) as one:
        testbed = one.testbed
        folder = Folder.of(one)
        inputs = synchronised(folder, testbed)
        plan = None
        if not on_server:
            plan = inputs.planned(folder.path, command, options)
            if plan is None and one.settings.verbosity:
                say("The plan is too large to be compared: the server's is used.")
        return _started(one, testbed, command, options, plan, detach)


def _ended(command: Command, detach: bool, yes: bool) -> int:
    """Start a command that needs no file of the folder; its plan is the state's."""
    with session(yes=yes) as one:
        return _started(one, one.testbed, command, Options(), None, detach)


def _started(
    one: Session,
    testbed: str,
    command: Command,
    options: Options,
    plan: dict[str, object] | None,
    detach: bool,
) -> int:
    wish: dict[str, object] = {
        "command": command.value,
        "provision": options.provision,
        "rerun_scripts": options.rerun_scripts,
    }
    if plan is not None:
        wish["plan"] = plan
    run = one.server.start(path_of(testbed, "runs"), wish)
    return _followed(one, testbed, run, detach)


def _followed(one: Session, testbed: str, run: StartedRun, detach: bool) -> int:
    if detach:
        if one.settings.is_json:
            print_json({"run": run.number, "testbed": testbed})
        say(f"Run {run.number} of {testbed} goes on: `testbed attach {run.number}`.")
        return 0
    say(f"Run {run.number} of {testbed}.")
    return drive(one.server, run, is_json=one.settings.is_json)
