"""The work on one guest: runs, checks, its scripts and its serial log, from rows."""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from operator import or_
from typing import NamedTuple

from django.db.models import Exists, OuterRef, Q, QuerySet

from orchestration.instructions.execution.serial_logs import log_name
from orchestration.plan.model import ON_GUESTS, Command, Kind
from orchestration.state.model import GuestState
from testbed.models import Task, Testbed
from testbed.models.runs import RunQuerySet
from testbed.pages.execution.fetched import query_of
from testbed.pages.overview import script_status

RUNS_SHOWN = 10
SCRIPTS = (Kind.SET_UP_GUESTS, Kind.RUN_SCRIPTS)
ENDED = (Task.Status.DONE, Task.Status.WARNING, Task.Status.FAILED)


@dataclass(frozen=True, slots=True)
class Script:
    """A script of a guest; `task` is of the last run that ran it, if it is kept."""

    title: str
    path: str
    status: str
    exit_code: int | None
    task: Task | None


@dataclass(frozen=True, slots=True)
class SerialLog:
    """A guest's whole serial log as `task` fetched it, and the query of its address."""

    task: Task
    size_bytes: int
    query: str


class NewestTasks(NamedTuple):
    """The newest tasks on a guest that its page shows, by kind; at most one query.

    `check` is the last that checked it, `facts` the last that read facts of it.
    """

    check: Task | None
    facts: Task | None
    log: Task | None
    scripts: Mapping[Kind, Task]


def newest_tasks(testbed: Testbed, guest: GuestState) -> NewestTasks:
    """Return the newest tasks on a guest: of checks, serial logs and scripts."""
    checks = _tasks(testbed, guest, (Command.CHECK,), Kind.CHECK_GUESTS)
    logs = _tasks(testbed, guest, (Command.EXEC,), Kind.FETCH_SERIAL_LOGS)
    wanted = [
        checks,
        checks.filter(found__isnull=False),
        logs.filter(status=Task.Status.DONE),
        *(_ends(testbed, guest, kind, path) for kind, path in _paths_of(guest)),
    ]
    newest = (Q(pk__in=tasks.values("pk")[:1]) for tasks in wanted)
    rows = Task.objects.filter(reduce(or_, newest)).order_by("-pk")
    unread = ("instruction__run__plan", "instruction__run__options")
    found: dict[str, list[Task]] = {}
    for task in rows.select_related("instruction__run").defer(*unread):
        found.setdefault(task.instruction.kind, []).append(task)
    checked = found.get(Kind.CHECK_GUESTS, [])
    return NewestTasks(
        next(iter(checked), None),
        next((task for task in checked if task.found is not None), None),
        next(iter(found.get(Kind.FETCH_SERIAL_LOGS, [])), None),
        {kind: found[kind][0] for kind in SCRIPTS if kind in found},
    )


def _tasks(
    testbed: Testbed, guest: GuestState, commands: Collection[Command], kind: Kind
) -> QuerySet[Task]:
    """Return the tasks of one kind that these commands had on a guest, newest first."""
    return Task.objects.filter(
        instruction__run__testbed=testbed,
        instruction__run__command__in=commands,
        instruction__kind=kind,
        resource=guest.name,
    ).order_by("-pk")


def runs_of(runs: RunQuerySet, name: str) -> RunQuerySet:
    """Return the last of some runs that worked on a guest."""
    tasks = Task.objects.filter(instruction__run=OuterRef("pk"), resource=name)
    touching = tasks.filter(instruction__kind__in=ON_GUESTS)
    return runs.listed().filter(Exists(touching))[:RUNS_SHOWN]


def scripts_of(guest: GuestState, tasks: Mapping[Kind, Task]) -> Iterable[Script]:
    """Yield a guest's scripts, with the tasks that say how they ended."""
    marks = guest.markers
    found = (
        (Kind.SET_UP_GUESTS, guest.setup_script, marks.script, marks.script_exit_code),
        (
            Kind.RUN_SCRIPTS,
            guest.run_script,
            marks.run_script,
            marks.run_script_exit_code,
        ),
    )
    for kind, script, digest, exit_code in found:
        if script is not None:
            title = "Setup" if kind is Kind.SET_UP_GUESTS else "Run"
            status = script_status(script, digest, exit_code)
            yield Script(title, script.path, status, exit_code, tasks.get(kind))


def _paths_of(guest: GuestState) -> Iterator[tuple[Kind, str]]:
    scripts = (guest.setup_script, guest.run_script)
    for kind, script in zip(SCRIPTS, scripts, strict=True):
        if script is not None:
            yield kind, script.path


def _ends(testbed: Testbed, guest: GuestState, kind: Kind, path: str) -> QuerySet[Task]:
    """Return the tasks that say how a script ended."""
    said = Q(message__startswith=f"{path} ") | Q(detail__startswith=f"{path} ")
    tasks = _tasks(testbed, guest, (Command.UP, Command.UP_GUESTS), kind)
    return tasks.filter(said, status__in=ENDED)


def serial_log_of(testbed: Testbed, name: str, task: Task | None) -> SerialLog | None:
    """Return the log that a task fetched; None if there is none, or it is gone."""
    if task is None:
        return None
    folder = testbed.project.fetched(task.instruction.run_id) / name
    try:
        size_bytes = (folder / log_name(name)).stat().st_size
    except FileNotFoundError:
        return None
    return SerialLog(task, size_bytes, query_of(name, log_name(name)))


def moment_of(task: Task | None) -> datetime | None:
    """Return the end of a task's run, or its start while it goes on."""
    if task is None:
        return None
    run = task.instruction.run
    return run.ended_at or run.started_at or run.created_at
