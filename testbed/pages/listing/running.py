"""The runs that are going on, with their progress, and the last ones that ended.

Read from the rows that the workers keep up to date.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from django.contrib.auth.models import User
from django.db.models import Count, Q

from testbed.access.permissions import seen_runs
from testbed.models import Instruction, Run, Task
from testbed.models.runs import RunQuerySet
from testbed.pages.board import OVER

MOST_RUNNING = 50
MOST_RECENT = 50
ENDED = (
    Instruction.Status.SUCCEEDED,
    Instruction.Status.FAILED,
    Instruction.Status.CANCELLED,
)


@dataclass(slots=True)
class Progress:
    """The place of a run in its plan.

    `ended` of `instructions` are over; `stage` is the one that is worked on, with `over`
    of `total` tasks of its present instructions.
    """

    stage: str = ""
    ended: int = 0
    instructions: int = 0
    over: int = 0
    total: int = 0

    @property
    def percent(self) -> int:
        """Return how much of the plan is over, each instruction counting the same."""
        part = self.over / self.total if self.total else 0
        return int(100 * (self.ended + part) / max(1, self.instructions))


@dataclass(frozen=True, slots=True)
class RunningRow:
    """A run that is going on, and its progress."""

    run: Run
    progress: Progress


def progress_of(runs: Iterable[Run]) -> dict[int, Progress]:
    """Return the progress of runs that have begun, by their ids (two queries or none)."""
    found = {run.pk: Progress() for run in runs if run.has_begun and not run.is_over}
    if not found:
        return {}
    steps = Instruction.objects.filter(run__in=found).order_by("run", "index")
    running: list[int] = []
    for pk, run, stage, status in steps.values_list("pk", "run", "stage", "status"):
        one = found[run]
        one.instructions += 1
        one.ended += status in ENDED
        if status not in ENDED:
            one.stage = one.stage or stage
        if status == Instruction.Status.RUNNING:
            running.append(pk)
    _count_tasks(found, running)
    return found


def running_rows(user: User) -> tuple[list[RunningRow], int]:
    """Return the newest runs that a user sees and that are going on, and their count."""
    active = active_runs(user)
    people = active.select_related("testbed__owner", "asked_by").defer("plan")
    runs = list(people.order_by("-pk")[:MOST_RUNNING])
    progress = progress_of(runs)
    rows = [
        RunningRow(run, progress.get(run.pk, Progress())) for run in _seen(runs, user)
    ]
    return rows, active.count() if len(runs) == MOST_RUNNING else len(runs)


def active_runs(user: User) -> RunQuerySet:
    """Return the runs that a user sees and that are not over."""
    return seen_runs(user).active()


def recent_runs(user: User) -> list[Run]:
    """Return the last runs that a user sees and that are over (two queries)."""
    over = seen_runs(user).exclude(status__in=Run.ACTIVE)
    # Of one query with the users and testbeds, SQLite reads and sorts all runs.
    newest = list(over.order_by("-pk").values_list("pk", flat=True)[:MOST_RECENT])
    rows = Run.objects.filter(pk__in=newest).listed()
    return _seen(rows.select_related("testbed__owner").order_by("-pk"), user)


def _seen(runs: Iterable[Run], user: User) -> list[Run]:
    """Return the runs with the names of their testbeds as the user calls them."""
    found = list(runs)
    for run in found:
        run.testbed.seen_by(user)
    return found


def run_json(run: Run, progress: Progress | None = None) -> dict[str, object]:
    """Return a run for programs, with the progress of one that goes on."""
    shape: dict[str, object] = {
        "run": run.pk,
        "testbed": run.testbed.name,
        "key": run.testbed.slug,
        "owner": run.testbed.owner.username,
        "name": run.name,
        "title": run.title,
        "status": run.status,
        "asked_by": run.asker,
        "created_at": run.created_at,
        "ended_at": run.ended_at,
        "message": run.message,
    }
    if progress:
        shape |= {"stage": progress.stage, "percent": progress.percent}
    return shape


def _count_tasks(found: dict[int, Progress], running: Collection[int]) -> None:
    over = Count("pk", filter=Q(status__in=OVER))
    tasks = Task.objects.filter(instruction__in=running).order_by()
    for run, total, ended in (
        tasks.values("instruction__run")
        .annotate(total=Count("pk"), ended=over)
        .values_list("instruction__run", "total", "ended")
    ):
        found[run].total, found[run].over = total, ended
