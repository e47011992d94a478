"""The files that guests sent in a run: what their deletion erases, and the deletion."""

import shutil

from testbed.models import Run, Task
from testbed.models.protection import require_unprotected
from testbed.testbeds.erasure.losses import Erasure, Loss, Sort, require_confirmed

DELETE_FETCHED = "delete-fetched"


def erased_fetched(run: Run) -> Erasure:
    """Return the guests whose files go, each with what arrived."""
    folder = run.testbed.project.fetched(run.pk)
    tasks = Task.objects.filter(instruction__run=run).order_by("pk")
    losses = tuple(
        Loss(Sort.FETCHED, task.resource, reason=task.message)
        for task in tasks
        if (folder / task.resource).is_dir()
    )
    return Erasure(DELETE_FETCHED, str(run.pk), losses)


def delete_fetched(run: Run, *, confirm: str = "") -> None:
    """Delete what guests sent in a run. Raises: Protected, Unconfirmed."""
    require_unprotected(run.testbed)
    require_confirmed(erased_fetched(run), confirm)
    shutil.rmtree(run.testbed.project.fetched(run.pk), ignore_errors=True)
