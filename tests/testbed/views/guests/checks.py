"""Checks of a guest as they stand in the database after a worker did them."""

from django.contrib.auth.models import User

from testbed.models import Run, Task, Testbed
from testbed.runs.creation import create_check
from testbed.runs.outcome import finish_run

REACHED = "Guest web on main can be reached."


def checked(
    testbed: Testbed,
    user: User,
    name: str = "web",
    *,
    status: str = "done",
    message: str = REACHED,
    **found: object,
) -> Run:
    """Check a guest; `found` are the facts that the worker read."""
    run = create_check(testbed, user, name)
    tasks = Task.objects.filter(instruction__run=run, resource=name)
    tasks.update(status=status, message=message, found=found or None)
    is_good = status == "done"
    finish_run(run.pk, Run.Status.SUCCEEDED if is_good else Run.Status.FAILED)
    run.refresh_from_db()
    return run
