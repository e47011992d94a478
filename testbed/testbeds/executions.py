"""Which guests an execution is for, and its plan, before anything runs.

Called by `runs.creation`, and by the page that shows what a selection matches.
"""

from orchestration.errors import StateError
from orchestration.plan.execution import Execution
from orchestration.plan.lifecycle import Plan, plan_exec
from orchestration.state.model import State
from orchestration.state.selection import select_guests
from testbed.models import Run, Task, Testbed


def plan_execution(testbed: Testbed, wanted: Execution) -> Plan:
    """Plan an execution on the guests as they are deployed.

    Raises: StateError (the testbed is not up), SelectionFailed.
    """
    state = _deployed(testbed)
    return plan_exec(
        state,
        wanted,
        select_guests(state, wanted.selection, failed=last_failed(testbed)),
    )


def matched_guests(testbed: Testbed, selection: str) -> tuple[str, ...]:
    """Return the guests that a selection matches now. Raises: as `plan_execution`."""
    return select_guests(_deployed(testbed), selection, failed=last_failed(testbed))


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
