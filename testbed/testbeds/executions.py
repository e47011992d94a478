"""Which guests or hosts an execution is for, and its plan, before anything runs.

Called by `runs.creation`, and by the page that shows what a selection matches.
"""

import re
from dataclasses import replace

from orchestration.errors import ExecutionRefused, StateError
from orchestration.events import SUCCESSFUL
from orchestration.plan.execution import Execution, Targets, parse_execution
from orchestration.plan.images import ImageWish
from orchestration.plan.lifecycle import (
    Plan,
    plan_check,
    plan_exec,
    plan_power,
    plan_save_images,
    plan_snapshot,
)
from orchestration.plan.model import Command
from orchestration.plan.power import Verb
from orchestration.plan.snapshots import SnapshotWish
from orchestration.state.model import State
from orchestration.state.selection import fold, select_guests, select_hosts
from testbed.models import Run, Task, Testbed
from testbed.models.runs import RunQuerySet

NUMBER = re.compile(r"[0-9]{1,18}", re.ASCII)


def plan_execution(testbed: Testbed, wanted: Execution) -> Plan:
    """Plan an execution on the guests, or on the hosts, as they are deployed.

    Raises: StateError (the testbed is not up), SelectionFailed, ExecutionRefused (a
    script on hosts that the testbed's owner could exchange).
    """
    if wanted.is_on_hosts and wanted.path:
        raise ExecutionRefused(
            "A file of the testbed is not run on hosts: its owner could exchange it.",
            hint="Read the script and paste it.",
        )
    if wanted.capture is not None:
        return plan_exec(_deployed(testbed), wanted, ())
    names = matched(testbed, wanted.selection, wanted.targets)
    return plan_exec(_deployed(testbed), wanted, names)


def matched(
    testbed: Testbed, selection: str, targets: Targets = Targets.GUESTS
) -> tuple[str, ...]:
    """Return the names that a selection matches now. Raises: as `plan_execution`."""
    state = _deployed(testbed)
    if targets is Targets.HOSTS:
        return select_hosts(state, selection)
    return select_guests(state, selection, failed=last_failed(testbed))


def plan_change(testbed: Testbed, verb: Verb, selection: str) -> Plan:
    """Plan a power verb for the guests of a selection. Raises: as `plan_execution`."""
    return plan_power(_deployed(testbed), verb, matched(testbed, selection))


def plan_snapshots(testbed: Testbed, wish: SnapshotWish, selection: str) -> Plan:
    """Plan an act on a snapshot of the guests of a selection.

    Raises: as `plan_execution`.
    """
    return plan_snapshot(_deployed(testbed), wish, matched(testbed, selection))


def plan_saving(testbed: Testbed, wish: ImageWish) -> Plan:
    """Plan to save the disks of guests, also where the testbed is down.

    Raises: StateError (it has no disks), ExecutionRefused (no such guest).
    """
    if not testbed.project.has_state():
        raise StateError(
            f"Testbed {testbed} is a draft: its guests have no disks.",
            hint="Use Up first.",
        )
    state = testbed.project.read_state()
    known = {guest.name for guest in state.guests}
    if strange := sorted(wish.files.keys() - known):
        raise ExecutionRefused(
            f"Testbed {testbed} has no guest `{strange[0][:80]}`.",
            hint="Write the guest's name, no pattern.",
        )
    return plan_save_images(state, wish)


def plan_checks(testbed: Testbed, selection: str) -> Plan:
    """Plan a check of the guests of a selection. Raises: as `plan_execution`."""
    return plan_check(_deployed(testbed), matched(testbed, selection))


def execution_again(runs: RunQuerySet, number: str, *, on: str = "all") -> Execution:
    """Return what one of these runs ran, for all its guests or for the failed.

    Raises: StateError when there is no such run, ExecutionRefused.
    """
    found = runs.filter(command=Command.EXEC)
    run = found.filter(pk=int(number)).first() if NUMBER.fullmatch(number) else None
    if run is None:
        raise StateError(
            f"There is no command {number} to run again.", hint="Choose another run."
        )
    wanted = parse_execution(run.options)
    if on != "failed":
        return wanted
    failed = failed_in(run)
    if not failed:
        raise StateError(f"No guest failed in run {run.pk}.")
    return replace(wanted, selection=fold(failed))


def failed_in(run: Run) -> tuple[str, ...]:
    """Return the guests on which a run failed, was cancelled, or did not begin."""
    tasks = Task.objects.filter(instruction__run=run).exclude(status__in=SUCCESSFUL)
    return tuple(tasks.values_list("resource", flat=True))


def last_failed(testbed: Testbed) -> tuple[str, ...]:
    """Return the guests on which the testbed's last ended run failed."""
    ended = testbed.runs.exclude(status__in=Run.ACTIVE).order_by("-ended_at")
    last = ended.values_list("pk", flat=True).first()
    failed = Task.objects.filter(instruction__run=last, status=Task.Status.FAILED)
    return tuple(failed.values_list("resource", flat=True).distinct())


def _deployed(testbed: Testbed) -> State:
    if testbed.condition not in Testbed.DEPLOYED or not testbed.project.has_state():
        raise StateError(
            f"Testbed {testbed} is not up: no guest of it can run anything.",
            hint="Use Up first.",
        )
    return testbed.project.read_state()
