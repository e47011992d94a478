"""Starts runs for users: asks the permission that a run needs, makes it, records it.

Pages and the API call these with an authorised user and a testbed that the user sees.
"""

from collections.abc import Mapping

from django.contrib.auth.models import User

from orchestration.errors import TestbedError
from orchestration.plan.execution import Execution
from orchestration.plan.lifecycle import LIFECYCLE
from orchestration.plan.model import Command, Options
from orchestration.plan.power import Verb
from orchestration.plan.selected import GuestUp
from orchestration.state.selection import fold
from testbed.access.permissions import (
    Act,
    act_of,
    act_of_command,
    act_up,
    record_act,
    require,
)
from testbed.models import Run, Task, Testbed
from testbed.runs.creation import (
    PlanJson,
    create_check,
    create_execution,
    create_guest_up,
    create_power,
    create_run,
    create_saving,
)


class NoSuchCommand(TestbedError):
    """A testbed has no command of this name."""


def command_named(name: str) -> Command:
    """Return the command of a testbed with this name. Raises: NoSuchCommand."""
    for command in LIFECYCLE:
        if command == name:
            return command
    raise NoSuchCommand(
        "There is no such command.", hint=f"Use one of {', '.join(LIFECYCLE)}."
    )


def start_command(
    testbed: Testbed,
    user: User,
    command: Command,
    options: Options,
    *,
    client_plan: PlanJson | None = None,
    confirm: str = "",
    why: str = "",
) -> Run:
    """Start a command of the whole testbed; the record has `why` after its name.

    Raises: as `create_run`; NotAllowed.
    """
    act = act_of_command(command)
    require(user, act, testbed)
    run = create_run(
        testbed, user, command, options, client_plan=client_plan, confirm=confirm
    )
    record_act(user, act, testbed, f"{run.name}{_said(run)}{why}", run=run)
    return run


def start_power(testbed: Testbed, user: User, verb: Verb, selection: str) -> Run:
    """Change the power of guests. Raises: as `create_power`; NotAllowed."""
    require(user, Act.POWER, testbed)
    run = create_power(testbed, user, verb, selection)
    record_act(user, Act.POWER, testbed, f"{verb.title} on {selection}", run=run)
    return run


def start_guest_up(
    testbed: Testbed, user: User, way: GuestUp, selection: str, *, confirm: str = ""
) -> Run:
    """Bring guests up in one way. Raises: as `create_guest_up`; NotAllowed."""
    act = act_up(way)
    require(user, act, testbed)
    run = create_guest_up(testbed, user, way, selection, confirm=confirm)
    record_act(user, act, testbed, f"{way.title} on {selection}", run=run)
    return run


def start_execution(testbed: Testbed, user: User, wanted: Execution) -> Run:
    """Run a command in guests or on hosts. Raises: as `create_execution`; NotAllowed."""
    act = act_of(wanted)
    require(user, act, testbed)
    run = create_execution(testbed, user, wanted)
    what = f"{wanted.title} on {_places(wanted, run)}"
    record_act(user, act, testbed, what, run=run)
    return run


def start_saving(
    testbed: Testbed, user: User, names: Mapping[str, str], *, shut_down: bool
) -> Run:
    """Save guests as images of these names. Raises: as `create_saving`; NotAllowed."""
    require(user, Act.SAVE_IMAGE, testbed)
    run = create_saving(testbed, user, names, shut_down=shut_down)
    record_act(user, Act.SAVE_IMAGE, testbed, run.title, run=run)
    return run


def start_check(testbed: Testbed, user: User, guest: str) -> Run:
    """Check a guest, or return its check that goes on. Raises: as `create_check`."""
    require(user, Act.CHECK, testbed)
    run = create_check(testbed, user, guest)
    record_act(user, Act.CHECK, testbed, f"Check of {guest}", run=run)
    return run


def _said(run: Run) -> str:
    """Return the options of a run that change what it does, in words."""
    words = {"provision": "recreate disks", "rerun_scripts": "run scripts again"}
    chosen = [text for name, text in words.items() if run.options.get(name)]
    return f" ({', '.join(chosen)})" if chosen else ""


def _places(wanted: Execution, run: Run) -> str:
    """Return the selection as a record has it: hosts are named."""
    if not wanted.is_on_hosts:
        return wanted.selection
    names = Task.objects.filter(instruction__run=run).values_list("resource", flat=True)
    hosts = fold(names)
    return f"{'host' if len(names) == 1 else 'hosts'} {hosts}"
