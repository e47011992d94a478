"""The work on one guest: runs, checks, its scripts and its serial log, from rows."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Exists, OuterRef, Q, QuerySet

from orchestration.instructions.execution.serial_logs import log_name
from orchestration.plan.model import ON_GUESTS, Command, Kind
from orchestration.state.model import GuestState, ScriptState
from testbed.models import Task, Testbed
from testbed.models.runs import RunQuerySet
from testbed.pages.execution.fetched import query_of
from testbed.pages.overview import script_status

RUNS_SHOWN = 10
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


def tasks_of(
    testbed: Testbed, name: str, commands: Collection[Command], kind: Kind
) -> QuerySet[Task]:
    """Return the tasks of one kind that these commands had on a guest, newest first."""
    tasks = Task.objects.filter(
        instruction__run__testbed=testbed,
        instruction__run__command__in=commands,
        instruction__kind=kind,
        resource=name,
    )
    newest = tasks.select_related("instruction__run").order_by("-pk")
    return newest.defer("instruction__run__plan", "instruction__run__options")


def runs_of(runs: RunQuerySet, name: str) -> RunQuerySet:
    """Return the last of some runs that worked on a guest."""
    tasks = Task.objects.filter(instruction__run=OuterRef("pk"), resource=name)
    touching = tasks.filter(instruction__kind__in=ON_GUESTS)
    return runs.listed().filter(Exists(touching))[:RUNS_SHOWN]


def scripts_of(testbed: Testbed, guest: GuestState) -> Iterable[Script]:
    """Yield a guest's scripts."""
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
            task = _last_of(testbed, guest.name, kind, script)
            yield Script(title, script.path, status, exit_code, task)


def _last_of(
    testbed: Testbed, name: str, kind: Kind, script: ScriptState
) -> Task | None:
    """Return the newest task that says how this script ended."""
    said = Q(message__startswith=f"{script.path} ") | Q(
        detail__startswith=f"{script.path} "
    )
    tasks = tasks_of(testbed, name, (Command.UP, Command.UP_GUESTS), kind)
    return tasks.filter(said, status__in=ENDED).first()


def serial_log_of(testbed: Testbed, name: str) -> SerialLog | None:
    """Return the newest log that was fetched; None if there is none, or it is gone."""
    fetches = tasks_of(testbed, name, (Command.EXEC,), Kind.FETCH_SERIAL_LOGS)
    task = fetches.filter(status=Task.Status.DONE).first()
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
