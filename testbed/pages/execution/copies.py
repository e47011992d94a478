"""The copies of a push or fetch that run now, for the page of its run."""

from dataclasses import dataclass

from orchestration.plan.execution import Form
from testbed.models import Run, Task
from testbed.pages.board import SHOWN_TASKS, Copies, copies_of, element_id


@dataclass(frozen=True, slots=True)
class RunningCopies:
    """The copies that run now; `hidden` are more, `together` sums up all of the run."""

    tasks: tuple[Task, ...]
    hidden: int
    together: Copies | None
    stage_id: str


def is_copy(run: Run) -> bool:
    """Return whether a run pushes or fetches files."""
    return run.options.get("form") == Form.PUSH or is_fetch(run)


def is_fetch(run: Run) -> bool:
    """Return whether a run fetches files."""
    return run.options.get("form") in (Form.FETCH, Form.SERIAL_LOG)


def running_copies(run: Run) -> RunningCopies | None:
    """Return the copies of a run that are not over; None when there are none."""
    found = Task.objects.filter(
        instruction__run=run, status=Task.Status.RUNNING
    ).select_related("instruction")
    tasks = tuple(found.order_by("instruction__index", "id"))
    if run.is_over or not tasks:
        return None
    shown, stage = tasks[:SHOWN_TASKS], tasks[0].instruction.stage
    hidden = len(tasks) - len(shown)
    return RunningCopies(shown, hidden, copies_of(run, stage), element_id(stage))
