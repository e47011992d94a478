"""Repairs runs after a crash, a lost message or a client that went away.

Celery beat calls `sweep`; `manage.py recover` calls it once. Every step finds rows by
their times and changes them by conditional UPDATEs, so that two sweepers at once do
no harm. Resuming an interrupted run is the user's choice, not made here.
"""

import logging
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from celery import shared_task
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from orchestration.errors import StateError
from orchestration.events import Status
from orchestration.instructions.storage.groups.recovery import put_right
from orchestration.locks import held_if_free
from orchestration.project import groups
from orchestration.project.folder import Project
from testbed import worker
from testbed.celery import request_batch, revoke
from testbed.models import Batch, Event, Instruction, Run, Testbed
from testbed.runs.cancelling import (
    Leftover,
    conclude_cancel,
    drop_queued,
    end_processes,
    open_tasks,
    places_of,
    running_batches,
)
from testbed.runs.dispatch import drive, take_over, unattended
from testbed.runs.joining import finish_batch, join
from testbed.runs.lease import held, holder_name, is_dead, is_late, kill_frozen
from testbed.runs.outcome import NONE_LEFT
from testbed.runs.places.admission import admit
from testbed.runs.places.queue import start_waiting
from testbed.runs.recorder import finish_tasks, record

logger = logging.getLogger(__name__)

RESEND_AFTER_S = 10
KILL_AFTER_S = 30
# The time that a sweeper may take to end a lost worker's processes in many busy guests;
# a sweeper that dies is found by its process.
PROOF_S = 180
LEFTOVERS_FOR = timedelta(days=1)


@shared_task(name="testbed.tasks.periodic.adopt", ignore_result=True)
def adopt(run_id: int) -> None:
    """Drive a run that no client has taken; sent with a countdown at its creation."""
    take_over(run_id)


@shared_task(name="testbed.tasks.periodic.start_runs", ignore_result=True)
def start_runs() -> None:
    """Start the runs whose turn it is; sent whenever a run ends."""
    start_waiting()


@shared_task(name="testbed.tasks.periodic.sweep", ignore_result=True)
def sweep() -> None:
    """Find and repair everything that is stuck."""
    sweep_once()


def sweep_once() -> dict[str, int]:
    """Run every step; return how many things each one repaired."""
    steps: dict[str, Callable[[], int]] = {
        "batches whose worker was lost": end_lost_batches,
        "batches sent again": send_again,
        "waiting runs started": start_waiting,
        "waiting batches sent": admit,
        "instructions joined": join_finished,
        "runs taken over from their drivers": take_over_unattended,
        "runs driven on": drive_on,
        "cancelled runs ended": end_cancelled,
        "workers killed that did not stop": kill_stuck,
        "leftovers confirmed as ended": retry_leftovers,
        "group snapshots put right": put_groups_right,
    }
    repaired = dict.fromkeys(steps, 0)
    for name, step in steps.items():
        # A run or a host that surprises one step keeps none of the others from theirs.
        with worker.ErrorsTold(f"The sweeper's work '{name}'", logger.warning):
            repaired[name] = step()
    return repaired


def end_lost_batches() -> int:
    """End the batches whose worker is dead or silent, with their processes."""
    running = Batch.objects.filter(status=Batch.Status.RUNNING)
    lost = [
        batch
        for batch in running.select_related("instruction__run__testbed")
        if batch.lease_until is None
        or is_late(batch.worker, batch.lease_until)
        or is_dead(batch.worker)
    ]
    for batch in lost:
        kill_frozen(batch.worker)
    return sum(map(_end_lost, lost))


def send_again() -> int:
    """Send the batches whose message was lost; a duplicate finds nothing to claim."""
    before = timezone.now() - timedelta(seconds=RESEND_AFTER_S)
    waiting = Batch.objects.filter(
        status=Batch.Status.QUEUED,
        admitted_at__isnull=False,
        queued_at__lt=before,
        instruction__run__cancel_requested_at=None,
    )
    sent = 0
    for batch in waiting:
        mine = Batch.objects.filter(pk=batch.pk, queued_at=batch.queued_at)
        if mine.update(queued_at=timezone.now()):
            request_batch(batch.pk, batch.celery_id)
            sent += 1
    return sent


def join_finished() -> int:
    """Join the instructions whose last batch ended without joining."""
    running = Instruction.objects.filter(status=Instruction.Status.RUNNING).exclude(
        batches__status__in=Batch.ACTIVE
    )
    return sum(join(pk) for pk in list(running.values_list("pk", flat=True)))


def take_over_unattended() -> int:
    """Let the server drive the runs whose driver disconnected silently."""
    runs = Run.objects.active().begun().filter(unattended(timezone.now()))
    return sum(take_over(pk) for pk in list(runs.values_list("pk", flat=True)))


def drive_on() -> int:
    """Start the next instruction in runs that the server drives and that are idle."""
    idle = (
        Run.objects.active()
        .begun()
        .filter(driver=Run.Driver.SERVER, cancel_requested_at=None)
        .exclude(instructions__status=Instruction.Status.RUNNING)
    )
    found = list(idle.values_list("pk", flat=True))
    for run_id in found:
        drive(run_id)
    return len(found)


def end_cancelled() -> int:
    """End the cancelling runs that have no running batch."""
    runs = Run.objects.filter(status=Run.Status.CANCELLING)
    ended = 0
    with held_if_free(lock_file("cancelled")) as is_alone:
        for run_id in list(runs.values_list("pk", flat=True)) if is_alone else ():
            with transaction.atomic():
                drop_queued(run_id)
            ended += conclude_cancel(run_id)
    return ended


def kill_stuck() -> int:
    """Kill the workers that did not stop in time; their leases then lapse."""
    before = timezone.now() - timedelta(seconds=KILL_AFTER_S)
    stuck = Run.objects.filter(
        status=Run.Status.CANCELLING, cancel_requested_at__lt=before
    )
    killed = 0
    for run_id in list(stuck.values_list("pk", flat=True)):
        batches = running_batches(run_id).values_list("celery_id", flat=True)
        if ids := [str(celery_id) for celery_id in batches]:
            revoke(ids, "SIGKILL")
            killed += len(ids)
    return killed


def retry_leftovers() -> int:
    """Ask again for the processes that could not be confirmed as ended."""
    since = timezone.now() - LEFTOVERS_FOR
    runs = Run.objects.filter(ended_at__gt=since).exclude(leftovers=[])
    with held_if_free(lock_file("leftovers")) as is_alone:
        if not is_alone:
            return 0
        return sum(_retry_leftovers(run) for run in runs.select_related("testbed"))


def put_groups_right() -> int:
    """Resume the guests that a lost worker paused, and remove its half group.

    It goes on until each host has answered, however long that takes.
    """
    return sum(_put_right(testbed.project) for testbed in Testbed.objects.all())


def lock_file(name: str) -> Path:
    """Return the lock of a long step, which only one sweep at a time runs."""
    return Path(settings.RUNTIME_DIR) / f"{name}.lock"


def _end_lost(batch: Batch) -> int:
    """Prove, then close: a sweeper that dies in between leaves the whole step to do."""
    run = batch.instruction.run
    if not _take_from_worker(batch):
        return 0
    logger.warning("batch %s of run %s was lost", batch.pk, run.pk)
    # A frozen or hanging worker gives its place in the pool back only when killed.
    revoke([str(batch.celery_id)], "SIGKILL")
    left = end_processes(run, places_of(batch))
    if not _close(batch, left):
        return 0
    finished = finish_batch(batch, status=Batch.Status.LOST)
    conclude_cancel(run.pk)
    return int(finished)


def _take_from_worker(batch: Batch) -> bool:
    """Take the lease over, so that no other process writes before the proof."""
    lapsed = Batch.objects.filter(
        pk=batch.pk, status=Batch.Status.RUNNING, lease_until=batch.lease_until
    )
    batch.worker = holder_name("sweeper")
    until = timezone.now() + timedelta(seconds=PROOF_S)
    with transaction.atomic():
        if not lapsed.update(lease_until=until, worker=batch.worker):
            return False
        text = (
            f"The worker of {batch.instruction.title} on {batch.host} was lost. "
            "What it began there is being ended."
        )
        record(batch.instruction.run_id, Event.Kind.LOG, text=text)
    return True


def _close(batch: Batch, left: list[Leftover]) -> bool:
    """End a lost batch's tasks and save survivors. False: the lease was taken away."""
    with transaction.atomic():
        run = (
            Run.objects.select_for_update()
            .defer("plan")
            .get(pk=batch.instruction.run_id)
        )
        if not held(batch).exists():
            return False
        is_cancelled = run.cancel_requested_at is not None
        finish_tasks(
            run.pk,
            open_tasks(batch),
            Status.CANCELLED if is_cancelled else Status.FAILED,
            message="The worker that did this was lost.",
            hint="" if is_cancelled else "Start the command again; it goes on.",
        )
        known = _seen(run.leftovers)
        new = [leftover for leftover in left if not _seen([leftover]) <= known]
        if new:
            run.leftovers = [*run.leftovers, *new]
            run.save(update_fields=["leftovers"])
    return True


def _put_right(project: Project) -> int:
    """Finish what is in a testbed's journal, unless a worker still does."""
    if groups.journal(project) is None or not project.has_state():
        return 0
    with groups.in_work(project) as is_held:
        if not is_held:
            return 0
        try:
            problems = put_right(worker.kept_hosts(), project.read_known(), project)
        except StateError as exc:
            problems = [exc.sentence]
    for problem in problems:
        logger.warning("a group of %s is not put right: %s", project.directory, problem)
    return int(not problems)


def _retry_leftovers(run: Run) -> int:
    places = {(left["host"], left["machine"], left["tag"]) for left in run.leftovers}
    left = end_processes(run, sorted(places))
    if _seen(left) == _seen(run.leftovers):
        return 0
    with transaction.atomic():
        message = run.message if left else f"{run.message} Asked again: {NONE_LEFT}"
        Run.objects.filter(pk=run.pk).update(leftovers=left, message=message)
        text = f"{len(left)} entries are left." if left else NONE_LEFT
        record(run.pk, Event.Kind.LEFTOVERS, text=text, left=len(left))
    return max(0, len(run.leftovers) - len(left))


def _seen(leftovers: list[Leftover]) -> set[tuple[str, str, int]]:
    return {(left["host"], left["machine"], left["pid"]) for left in leftovers}
