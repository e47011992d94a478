"""The guests that a user turned off or paused, which is no fault of the testbed.

Read from the runs on single guests since the last command that decided what should be there, such
as `up`. The observation and the pages ask here.
"""

from django.db.models import Subquery
from django.db.models.functions import Coalesce

from orchestration.plan.model import Kind
from orchestration.plan.power import RUNNING, VERBS
from testbed.models import Run, Task, Testbed
from testbed.models.runs import ON_GUESTS

LEAVES = {
    Kind.START_GUESTS: RUNNING,
    **{kind: verb.leaves for kind, verb in VERBS.items()},
}
# The run's options have the status in which each guest is left.
RESTORES = (Kind.RESTORE_SNAPSHOTS, Kind.RESTORE_GROUP_SNAPSHOT)
NOT_BEGUN = (Task.Status.WAITING, Task.Status.SKIPPED)
TURNS_ON = tuple(kind for kind, verb in VERBS.items() if verb.leaves == RUNNING)


def requested_statuses(testbed: Testbed) -> dict[str, str]:
    """Return the status that users asked for, of guests that are not to run.

    A shutdown that took too long counts as well: the guest may go off later. A verb that
    was to let a guest run, and failed, left it as it was asked for before.
    """
    decided = Run.objects.filter(testbed=testbed).deciding().values("pk")[:1]
    tasks = Task.objects.filter(
        instruction__run__testbed=testbed,
        instruction__run__command__in=ON_GUESTS,
        instruction__run__gt=Coalesce(Subquery(decided), 0),
        instruction__kind__in=(*LEAVES, *RESTORES),
    )
    refused = {"status": Task.Status.FAILED, "instruction__kind__in": TURNS_ON}
    last = tasks.exclude(status__in=NOT_BEGUN).exclude(**refused).order_by("pk")
    found: dict[str, str] = {}
    for name, kind, leaves in last.values_list(
        "resource", "instruction__kind", "instruction__run__options__leaves"
    ):
        if kind == Kind.RESTORE_GROUP_SNAPSHOT:  # its resource is the testbed
            found |= leaves or {}
        else:
            found[name] = LEAVES.get(Kind(kind)) or (leaves or {}).get(name, RUNNING)
    return {name: status for name, status in found.items() if status != RUNNING}
