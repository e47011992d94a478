"""The board of a run page: stages with their tasks, from the current rows.

The page, a reload in the middle and the websocket's fragments all come from here, so
that they cannot differ: `stages_of` for the whole page, `stage_of` for one stage that
changed. A stage with very many tasks shows the most urgent ones and counts the rest.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from django.db.models import QuerySet
from django.utils.text import slugify

from testbed.models import Instruction, Run, Task

SHOWN_TASKS = 60
# A single copy shows its own progress.
SEVERAL = 2
BYTES = "B"
OVER = {
    Task.Status.DONE,
    Task.Status.UNCHANGED,
    Task.Status.WARNING,
    Task.Status.FAILED,
    Task.Status.CANCELLED,
    Task.Status.SKIPPED,
}
EYES_FIRST = (
    Task.Status.FAILED,
    Task.Status.RUNNING,
    Task.Status.WARNING,
    Task.Status.CANCELLED,
    Task.Status.SKIPPED,
    Task.Status.WAITING,
    Task.Status.DONE,
    Task.Status.UNCHANGED,
)


@dataclass(frozen=True, slots=True)
class Group:
    """The tasks of one instruction that are shown, and how many more there are."""

    index: int
    title: str
    status: str
    message: str
    tasks: tuple[Task, ...]
    hidden: int


@dataclass(frozen=True, slots=True)
class Copies:
    """All copies of a stage together, while one runs: bytes, and bytes a second.

    They run in parallel, so the longest remaining time is the time of all.
    """

    count: int
    done: int
    total: int
    rate: int
    left_s: int | None
    unit: str = BYTES


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of a run; `total` counts all of its tasks, `over` the ended ones."""

    run_id: int
    name: str
    status: str
    groups: tuple[Group, ...]
    counts: tuple[tuple[str, int], ...]
    over: int
    total: int
    copies: Copies | None
    started_at: datetime | None
    ended_at: datetime | None

    @property
    def id(self) -> str:
        """The id of its element on the page."""
        return element_id(self.name)

    @property
    def is_open(self) -> bool:
        """Return whether it is shown unfolded: it is running, failed or cancelled."""
        return self.status in {
            Instruction.Status.RUNNING,
            Instruction.Status.FAILED,
            Instruction.Status.CANCELLED,
        }


def stages_of(run: Run) -> list[Stage]:
    """Return all stages of a run in the order of its plan (two queries)."""
    found: dict[str, list[Instruction]] = {}
    for instruction in _instructions(run):
        found.setdefault(instruction.stage, []).append(instruction)
    return [_stage(run, name, members) for name, members in found.items()]


def stage_of(run: Run, name: str) -> Stage:
    """Return one stage of a run (two queries)."""
    return _stage(run, name, list(_instructions(run).filter(stage=name)))


def element_id(stage: str) -> str:
    """Return the id of a stage's element on the page."""
    return f"stage-{slugify(stage)}"


def copies_of(run: Run, stage: str) -> Copies | None:
    """Return a stage's copies together (one query); None unless there are several."""
    tasks = Task.objects.filter(instruction__run=run, instruction__stage=stage)
    return _copies(tasks.filter(unit=BYTES).defer("message", "hint", "detail"))


def _copies(tasks: Iterable[Task]) -> Copies | None:
    """Sum up running and finished copies; a failed one is left out."""
    found = [task for task in tasks if task.unit == BYTES and task.total]
    running = [task for task in found if task.status == Task.Status.RUNNING]
    done = [task for task in found if task.status == Task.Status.DONE]
    known = [task.left_s for task in running if task.left_s is not None]
    if not running or len(running) + len(done) < SEVERAL:
        return None
    ended = sum(task.total for task in done)
    return Copies(
        count=len(running) + len(done),
        done=ended + sum(min(task.done, task.total) for task in running),
        total=ended + sum(task.total for task in running),
        rate=sum(task.rate for task in running),
        left_s=max(known) if len(known) == len(running) else None,
    )


def _instructions(run: Run) -> QuerySet[Instruction]:
    return run.instructions.order_by("index").prefetch_related("tasks")


def _stage(run: Run, name: str, members: list[Instruction]) -> Stage:
    tasks = [task for member in members for task in member.tasks.all()]
    over = sum(task.status in OVER for task in tasks)
    status = _status(members)
    if run.is_over:
        status = _skip_waiting(tasks, status)
    counts = Counter(task.status for task in tasks)
    started = [member.started_at for member in members if member.started_at]
    ended = [member.ended_at for member in members if member.ended_at]
    return Stage(
        run_id=run.pk,
        name=name,
        status=status,
        groups=tuple(_groups(members, tasks)),
        counts=tuple((s.value, counts[s]) for s in EYES_FIRST if counts[s]),
        over=over,
        total=len(tasks),
        copies=_copies(tasks),
        started_at=min(started, default=None),
        ended_at=max(ended) if len(ended) == len(members) > 0 else None,
    )


def _skip_waiting(tasks: list[Task], status: str) -> str:
    """Call skipped whatever still waits when a run is over; nothing is stored."""
    for task in tasks:
        if task.status == Task.Status.WAITING:
            task.status = Task.Status.SKIPPED
    is_waiting = status == Instruction.Status.WAITING
    return Task.Status.SKIPPED.value if is_waiting else status


def _groups(members: Iterable[Instruction], tasks: list[Task]) -> Iterator[Group]:
    """Share a stage's places among its tasks, the most urgent first."""
    by_need = sorted(tasks, key=_need) if len(tasks) > SHOWN_TASKS else tasks
    shown = {task.pk for task in by_need[:SHOWN_TASKS]}
    for member in members:
        own = [task for task in by_need if task.instruction_id == member.pk]
        seen = tuple(task for task in own if task.pk in shown)
        hidden = len(own) - len(seen)
        yield Group(
            member.index, member.title, member.status, member.message, seen, hidden
        )


def _need(task: Task) -> int:
    return EYES_FIRST.index(Task.Status(task.status))


def _status(members: list[Instruction]) -> str:
    """Return the stage's status: the most important one of its instructions."""
    found = {member.status for member in members}
    status = Instruction.Status
    for one in (status.FAILED, status.RUNNING, status.CANCELLED):
        if one in found and not (one is status.FAILED and status.RUNNING in found):
            return one.value
    if found == {status.SUCCEEDED}:
        return status.SUCCEEDED.value
    return status.RUNNING.value if status.SUCCEEDED in found else status.WAITING.value
