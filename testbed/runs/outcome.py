"""The end of a run: its status and message, and the testbed's condition afterwards.

`finish_run` is one conditional UPDATE, so that a run ends once, also when several
processes find it over. The testbed's condition follows from the tasks' results, never
from the intention: a failed or cancelled `up` is not `up`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from orchestration.amounts import count_of
from orchestration.errors import StateError, TestbedError
from orchestration.events import SUCCESSFUL
from orchestration.plan.model import BESIDE_OTHERS, Command, Kind
from orchestration.state.selection import fold
from testbed.access.permissions import name_acting
from testbed.access.record import write_on_testbed
from testbed.celery import request_observation, request_removal, request_start
from testbed.models import (
    Batch,
    Entry,
    Event,
    Expiry,
    Instruction,
    PlannedStart,
    Run,
    SavedImage,
    Task,
    Testbed,
)
from testbed.models.record.entries import RUN_END
from testbed.notifications.telling import tell_run_ended
from testbed.runs.kept import kept_words
from testbed.runs.recorder import record
from testbed.testbeds.capacity import needs_in, set_started
from testbed.testbeds.trash.copies import throw_copy_away

DEPLOYING = (
    Kind.ENSURE_NETWORKS,
    Kind.ENSURE_BRIDGES,
    Kind.ENSURE_LINKS,
    Kind.CREATE_DISKS,
    Kind.START_GUESTS,
    Kind.SET_UP_GUESTS,
    Kind.RUN_SCRIPTS,
)
REMOVING = (
    Kind.STOP_CHANGED_GUESTS,
    Kind.STOP_GUESTS,
    Kind.DELETE_LINKS,
    Kind.DELETE_BRIDGES,
    Kind.DELETE_NETWORKS,
    Kind.CLEAN_HOSTS,
)
# Of a task that did not end in this run.
OPEN = (Task.Status.WAITING, Task.Status.CANCELLED, Task.Status.SKIPPED)
SHOWN = 5
# Their tasks are the guests that a user selected.
ON_SELECTED = (Command.EXEC, Command.POWER, Command.CHECK)
UPS = (Command.UP, Command.UP_GUESTS)
# Their instructions' own words say how they ended.
WITH_WORDS = (Command.SNAPSHOT, Command.SAVE_IMAGE)
# The fields of their tasks that are told.
TOLD = ("resource", "status", "message")
# True of each way in which processes are ended; a task says more where it was proven.
# A server that a finished script left carries the mark, too, and stays.
NONE_LEFT = "No process that carries the mark of an unfinished task is left."
DONE_WORDS = {
    Command.GENERATE_ARTEFACTS: "Artefacts generated.",
    Command.CLEAR_ARTEFACTS: "Disks and artefacts deleted.",
    Command.DOWN: "Testbed stopped.",
}


def finish_run(
    run_id: int,
    status: Run.Status,
    *,
    leftovers: Sequence[Mapping[str, object]] | None = None,
    reason: TestbedError | None = None,
) -> bool:
    """End a run: row, testbed and event in one transaction. False: it was over.

    `leftovers` replaces the notes of its batches, when all of them were asked again.
    `reason` is why a run never began.
    """
    with transaction.atomic():
        run = Run.objects.select_related("testbed__owner").defer("plan").get(pk=run_id)
        left = list(run.leftovers if leftovers is None else leftovers)
        message, hint = _words(run, status, left)
        if reason is not None:
            message, hint = f"It did not begin: {reason.message}", reason.hint
        ended = Run.objects.filter(pk=run_id, status__in=Run.ACTIVE).update(
            status=status,
            message=message,
            hint=hint,
            leftovers=left,
            ended_at=timezone.now(),
        )
        if not ended:
            return False
        condition = condition_after(run, status)
        Testbed.objects.filter(pk=run.testbed_id).update(condition=condition)
        Expiry.objects.settle(run.testbed, condition)
        _count_guests(run, status)
        PlannedStart.objects.filter(run=run_id).delete()
        if unsaved := SavedImage.objects.settle(run):
            transaction.on_commit(partial(request_removal, unsaved))
            transaction.on_commit(partial(throw_copy_away, run))
        record(run_id, Event.Kind.RUN, status=status.value, message=message, hint=hint)
        ending = Entry.Outcome(status.value)
        write_on_testbed(None, RUN_END, run.testbed, message, run=run, outcome=ending)
        run.status, run.message, run.ended_at = status, message, timezone.now()
        tell_run_ended(run)
        if run.command not in BESIDE_OTHERS:
            transaction.on_commit(request_observation)
        if Run.objects.waiting().exists():
            transaction.on_commit(request_start)
    return True


def outcome(run: Run) -> Run.Status:
    """Return the status of a run that has reached its end."""
    rest = run.instructions.exclude(status=Instruction.Status.SUCCEEDED)
    return Run.Status.FAILED if rest.exists() else Run.Status.SUCCEEDED


def condition_after(run: Run, status: Run.Status) -> str:
    """Return the testbed's condition after its run ended with `status`."""
    conditions = Testbed.Condition
    before = run.testbed.condition
    is_deployed = before in (conditions.UP, conditions.PARTIAL)
    if status == Run.Status.SUCCEEDED:
        return {
            Command.UP: conditions.UP,
            Command.DOWN: conditions.DOWN,
            Command.CLEAR_ARTEFACTS: conditions.EMPTY,
            Command.GENERATE_ARTEFACTS: before if is_deployed else conditions.GENERATED,
            Command.EXEC: before,
            Command.POWER: before,
            Command.CHECK: before,
            Command.UP_GUESTS: before,
            Command.SNAPSHOT: before,
            Command.SAVE_IMAGE: before,
        }[Command(run.command)]
    if _has_touched(run, DEPLOYING):
        return conditions.PARTIAL
    if is_deployed and _has_touched(run, REMOVING):
        return conditions.PARTIAL
    if before == conditions.EMPTY and _has_touched(run, (Kind.GENERATE_ARTEFACTS,)):
        return conditions.GENERATED
    return before


def _count_guests(run: Run, status: Run.Status) -> None:
    """Let only the guests count that run after an Up or a Down that succeeded.

    After any other end all count that may run.
    """
    if status != Run.Status.SUCCEEDED:
        return
    if run.command in (Command.DOWN, Command.CLEAR_ARTEFACTS):
        set_started(run.testbed, ())
    elif run.command == Command.UP:
        with suppress(StateError):
            set_started(run.testbed, needs_in(run.testbed.project.read_state()))


def _has_touched(run: Run, kinds: Sequence[Kind]) -> bool:
    """Return whether a task of these kinds changed anything, or may have."""
    tasks = Task.objects.filter(instruction__run=run, instruction__kind__in=kinds)
    idle = (Task.Status.WAITING, Task.Status.UNCHANGED, Task.Status.SKIPPED)
    cancelled_before_it_began = {"status": Task.Status.CANCELLED, "seconds": 0.0}
    return tasks.exclude(status__in=idle).exclude(**cancelled_before_it_began).exists()


def _words(
    run: Run, status: Run.Status, left: Sequence[Mapping[str, object]]
) -> tuple[str, str]:
    if not run.has_begun:
        who = _canceller(run)
        return f"Cancelled{who} while it waited in the queue. Nothing was changed.", ""
    message, hint = {
        Run.Status.SUCCEEDED: _succeeded_words,
        Run.Status.CANCELLED: _cancelled_words,
        Run.Status.INTERRUPTED: _interrupted_words,
    }.get(status, _failed_words)(run)
    if status == Run.Status.CANCELLED and not left:
        message += f" {NONE_LEFT}"
    if left:
        message += f" {_unconfirmed(left)}"
        hint += " What is not confirmed is listed below; the testbed goes on looking."
    return message, hint.strip()


def _unconfirmed(left: Sequence[Mapping[str, object]]) -> str:
    """Name what may still run: processes that were seen, machines that were not."""
    seen = sum(bool(leftover["pid"]) for leftover in left)
    silent = sorted(
        {str(leftover["machine"]) for leftover in left if not leftover["pid"]}
    )
    parts = [f"{seen} process{'' if seen == 1 else 'es'}"] if seen else []
    if silent:
        more = f" and {len(silent) - SHOWN} more" if len(silent) > SHOWN else ""
        parts.append(f"what may run on {', '.join(silent[:SHOWN])}{more}")
    return f"Not confirmed as ended: {'; '.join(parts)}."


def _succeeded_words(run: Run) -> tuple[str, str]:
    if run.command in WITH_WORDS:
        return _own_words(run)
    if run.command in ON_SELECTED:
        return execution_words(run)
    if run.command not in UPS:
        return DONE_WORDS[Command(run.command)], ""
    count = len(_set_up_tasks(run))
    if run.command == Command.UP_GUESTS:
        return f"{count_of(count, 'guest')} up: {fold(_set_up_tasks(run))}.", ""
    few = {0: "The testbed is up.", 1: "The guest is up."}
    return few.get(count, f"All {count} guests are up."), ""


def _own_words(run: Run) -> tuple[str, str]:
    """Return how each instruction ended, with its own words.

    The title of an only one is the run's own: guests stand in its place.
    """
    found = [*run.instructions.exclude(kind=Kind.END).order_by("index")]
    words = []
    for instruction in found:
        tasks = list(instruction.tasks.only("instruction", *TOLD))
        said = instruction.message if len(tasks) > 1 else tasks[0].message
        said = said.rstrip(".") or tasks[0].status
        subject = instruction.title
        if len(found) == 1:
            guests = [name for task in tasks if (name := task.guest)]
            subject = fold(guests) if guests else ""
        words.append(f"{subject}: {said}." if subject else f"{said}.")
    return " ".join(words), ""


def _failed_words(run: Run) -> tuple[str, str]:
    failed = list(_failed_tasks(run)[: SHOWN + 1])
    if not failed:
        return "The run failed.", ""
    if run.command in WITH_WORDS:
        return failed[0].message, failed[0].hint
    if run.command in ON_SELECTED:
        return execution_words(run)
    if run.command in UPS:
        return f"{_progress(run)}; {failed[0].message}", failed[0].hint
    if run.command == Command.GENERATE_ARTEFACTS:
        return failed[0].message, failed[0].hint
    names = ", ".join(_placed(task, run.testbed) for task in failed[:SHOWN])
    more = " and more" if len(failed) > SHOWN else ""
    message = f"Not everything could be stopped: {names}{more}. {failed[0].message}"
    return message, f"{failed[0].hint} Then press Down again.".strip()


def _placed(task: Task, testbed: Testbed) -> str:
    """Name a resource with its host; some already carry it in their name."""
    if task.resource == testbed.key and not task.guest:
        return f"{testbed.name} on {task.host}"
    end = f" on {task.host}"
    is_host = task.resource == task.host
    return task.resource if is_host else f"{task.resource.removesuffix(end)}{end}"


def _stopped_words(run: Run) -> tuple[str, str]:
    """Say what a tool has left: a stop is its usual end, and no failure."""
    who = _canceller(run)
    if run.started_at is None:
        return f"Stopped{who} before it began.", ""
    failed = fold(_failed_tasks(run).values_list("resource", flat=True))
    before = f" It had failed on {failed}." if failed else ""
    return f"Stopped{who}.{before} {kept_words(run)}", ""


def _cancelled_words(run: Run) -> tuple[str, str]:
    if run.is_tool:
        return _stopped_words(run)
    who = _canceller(run)
    if run.command in ON_SELECTED:
        return f"Cancelled{who}. {execution_words(run)[0]}", ""
    if run.command == Command.UP_GUESTS:
        return f"Cancelled{who}. {_progress(run)}.", "Start it again to go on."
    if run.command in WITH_WORDS:
        return f"Cancelled{who}. {_own_words(run)[0]}", ""
    if run.command != Command.UP:
        return f"Cancelled{who}.", "Resume it, or leave it as is."
    return (
        f"Cancelled{who}. {_progress(run)}.",
        "Resume Up, stop the testbed with Down, or leave it as is.",
    )


def _canceller(run: Run) -> str:
    user = run.cancel_requested_by
    return f" by {name_acting(user, run.testbed)}" if user else ""


def _interrupted_words(run: Run) -> tuple[str, str]:
    """Describe the parts that were lost, done and not done."""
    batches = Batch.objects.filter(instruction__run=run, status=Batch.Status.LOST)
    lost = [
        f"{batch.instruction.title} on {batch.host}"
        for batch in batches.select_related("instruction").order_by("pk")
    ]
    message = f"A worker was lost before its work was done: {_some(lost)}. "
    good = Instruction.Status.SUCCEEDED
    steps = run.instructions.exclude(kind__in=(Kind.INIT, Kind.END))
    message += (
        f"{steps.filter(status=good).count()} of {steps.count()} instructions are done"
    )
    if rest := list(steps.exclude(status=good).values_list("title", flat=True)):
        message += f"; not done: {_some(rest)}"
    progress = f" {_progress(run)}." if run.command in UPS else ""
    return (
        f"{message}.{progress}",
        "Resume it: what is done already stays as it is.",
    )


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more


def _progress(run: Run) -> str:
    """Count the guests that this run set up, then those that earlier runs did."""
    statuses = _set_up_tasks(run)
    count = len(statuses)
    ready = sum(status in SUCCESSFUL for status in statuses.values())
    is_or_are = "is" if 1 in (ready, count) else "are"
    guests = "guest" if count == 1 else "guests"
    set_up = run.instructions.filter(kind=Kind.SET_UP_GUESTS)
    if set_up.filter(started_at=None).exists():
        words, rest = "The set-up of guests had not begun", f"of {count} {guests}"
    else:
        words, rest = f"{ready} of {count} {guests} {is_or_are} set up", "more"
    open_ones = {name for name, status in statuses.items() if status in OPEN}
    before = len(open_ones & _set_up_before(run))
    return f"{words}; earlier runs had set up {before} {rest}" if before else words


def _set_up_tasks(run: Run) -> dict[str, str]:
    """Return the status of each guest's set-up in this run."""
    tasks = Task.objects.filter(
        instruction__run=run, instruction__kind=Kind.SET_UP_GUESTS
    )
    return dict(tasks.values_list("resource", "status"))


def _set_up_before(run: Run) -> set[str]:
    """Return the guests that are set up by the marks of all runs."""
    try:
        guests = run.testbed.project.read_state().guests
    except StateError:
        return set()
    return {guest.name for guest in guests if guest.is_set_up}


def _failed_tasks(run: Run) -> QuerySet[Task]:
    return Task.objects.filter(instruction__run=run, status=Task.Status.FAILED)


ENDINGS = {
    Task.Status.FAILED: "failed on",
    Task.Status.CANCELLED: "cancelled on",
    Task.Status.SKIPPED: "not begun on",
    Task.Status.WAITING: "not begun on",
    Task.Status.RUNNING: "not ended on",
}


def execution_words(run: Run) -> tuple[str, str]:
    """Return the message and the hint of a run on selected guests that is over."""
    tasks = Task.objects.filter(instruction__run=run).exclude(
        instruction__kind=Kind.END
    )
    names = defaultdict(list)
    for name, status in tasks.values_list("resource", "status"):
        names[status].append(name)
    total = sum(map(len, names.values()))
    if run.command == Command.CHECK and total == 1 and (said := tasks.get()).message:
        return said.message, said.hint
    good = sum(len(names[status]) for status in SUCCESSFUL)
    if good == total:
        return (
            f"Succeeded on {'all ' if total > 1 else ''}{count_of(total, run.target_noun)}.",
            "",
        )
    parts = [
        f"{words} {fold(names[status])}"
        for status, words in ENDINGS.items()
        if names[status]
    ]
    message = f"Succeeded on {good} of {count_of(total, run.target_noun)}; {'; '.join(parts)}."
    failed = bool(names[Task.Status.FAILED]) and run.command == Command.EXEC
    return message, "See their answers, then run it again on @failed." if failed else ""
