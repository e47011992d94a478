"""Accepts instructions from a client or the server, and sends their batches.

Called by the websocket for a client's frames and by `joining` when the server drives.
Whether an instruction may start is decided under the run's row lock and once more by a
conditional UPDATE, so that it starts once. `admission` sends its batches after commit.
"""

import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta

from django.conf import settings
from django.db import transaction
from django.db.models import Q
from django.utils import timezone

from orchestration.plan.model import Kind
from testbed.models import Batch, Event, Instruction, PlannedStart, Run
from testbed.runs.outcome import finish_run, outcome
from testbed.runs.places.admission import admit
from testbed.runs.recorder import record
from testbed.runs.stages import record_begin
from testbed.testbeds.capacity import add_started, needs_of_rows

SERVER = ""


@dataclass(frozen=True, slots=True)
class Ack:
    """The answer to an instruction: accepted, or the reason why not."""

    valid: bool
    message: str = ""


def accept(run_id: int, index: int, kind: str, channel: str) -> Ack:
    """Start an instruction for the client `channel`, or for the server (`SERVER`).

    It must be exactly the next one of the stored plan, and its predecessor over.
    The first client that sends one becomes the driver. `end` finishes the run.
    """
    with transaction.atomic():
        run = Run.objects.select_for_update().defer("plan").filter(pk=run_id).first()
        if run is None:
            return Ack(valid=False, message="There is no such run.")
        refusal = _refuse(run, index, kind, channel)
        if refusal:
            return Ack(valid=False, message=refusal)
        if not _take(run, index, channel):
            return Ack(valid=False, message=f"Instruction {index} was just sent.")
        _start(run, index)
    return Ack(valid=True)


def drive(run_id: int) -> None:
    """Start the next instruction of a run that the server drives, if none is on."""
    runs = Run.objects.filter(pk=run_id, driver=Run.Driver.SERVER)
    run = runs.defer("plan").first()
    instruction = run and run.instructions.filter(index=run.next_index).first()
    if instruction:
        accept(run_id, instruction.index, instruction.kind, channel=SERVER)


def hand_over(run_id: int, channel: str) -> bool:
    """Let the server drive, because the driving client is gone or detaches.

    A run without a driver is taken as well. False: another client drives.
    """
    mine = Q(driver=Run.Driver.CLIENT, driver_channel=channel)
    return _let_server_drive(run_id, mine | Q(driver=Run.Driver.NOBODY))


def take_over(run_id: int) -> bool:
    """Let the server drive a run whose driver was not seen for a while."""
    return _let_server_drive(run_id, unattended(timezone.now()))


def unattended(now: datetime) -> Q:
    """Return the condition of runs whose driver did not come, or is gone."""
    since = now - timedelta(seconds=settings.DRIVER_PATIENCE_S)
    nobody = Q(driver=Run.Driver.NOBODY, created_at__lte=since)
    return nobody | Q(driver=Run.Driver.CLIENT, driver_seen_at__lte=since)


def keep_driving(run_id: int, channel: str) -> bool:
    """Note that the driver's socket is open. False: it no longer drives."""
    mine = Run.objects.active().filter(
        pk=run_id, driver=Run.Driver.CLIENT, driver_channel=channel
    )
    return bool(mine.update(driver_seen_at=timezone.now()))


def _let_server_drive(run_id: int, condition: Q) -> bool:
    with transaction.atomic():
        taken = Run.objects.active().begun().filter(condition, pk=run_id)
        if not taken.update(driver=Run.Driver.SERVER, driver_channel=""):
            return False
        drive(run_id)
    return True


def _refuse(run: Run, index: int, kind: str, channel: str) -> str:
    """Return why an instruction cannot start now; empty when it can."""
    if run.is_over:
        return f"This run is over: {run.status}."
    if run.cancel_requested_at:
        return "This run is being cancelled."
    if run.status == Run.Status.WAITING:
        return "This run waits in the queue; it starts by itself."
    if other := _other_driver(run, channel):
        return other
    if index < run.next_index:
        return f"Instruction {index} was accepted before."
    instruction = run.instructions.filter(index=index).first()
    if index > run.next_index or instruction is None:
        return f"Instruction {run.next_index} is next, not {index}."
    if instruction.kind != kind:
        return f"Instruction {index} is {instruction.kind}, not {kind}."
    before = run.instructions.filter(index=index - 1)
    if before.filter(status=Instruction.Status.RUNNING).exists():
        return f"Instruction {index - 1} is still running."
    return ""


def _other_driver(run: Run, channel: str) -> str:
    if channel == SERVER:
        return "" if run.driver == Run.Driver.SERVER else "A client drives this run."
    if run.driver == Run.Driver.SERVER:
        return "The server drives this run now; follow it."
    if run.driver == Run.Driver.NOBODY or run.driver_channel == channel:
        return ""
    patience = timedelta(seconds=settings.DRIVER_PATIENCE_S)
    is_fresh = run.driver_seen_at and run.driver_seen_at > timezone.now() - patience
    return "Another window drives this run; follow it." if is_fresh else ""


def _take(run: Run, index: int, channel: str) -> bool:
    now = timezone.now()
    is_client = channel != SERVER
    next_one = Run.objects.filter(
        pk=run.pk,
        next_index=index,
        status__in=(Run.Status.PENDING, Run.Status.RUNNING),
        cancel_requested_at=None,
        driver=run.driver,
        driver_channel=run.driver_channel,
    )
    return bool(
        next_one.update(
            next_index=index + 1,
            status=Run.Status.RUNNING,
            started_at=run.started_at or now,
            driver=Run.Driver.CLIENT if is_client else Run.Driver.SERVER,
            driver_channel=channel,
            driver_seen_at=now if is_client else run.driver_seen_at,
        )
    )


def _start(run: Run, index: int) -> None:
    instruction = run.instructions.get(index=index)
    instruction.started_at = timezone.now()
    if instruction.kind == Kind.END:
        instruction.status = Instruction.Status.SUCCEEDED
        instruction.ended_at = instruction.started_at
        instruction.save()
        finish_run(run.pk, outcome(run))
        return
    instruction.status = Instruction.Status.RUNNING
    instruction.save()
    hosts = list(dict.fromkeys(instruction.tasks.values_list("host", flat=True)))
    Batch.objects.bulk_create(
        Batch(instruction=instruction, host=host, celery_id=uuid.uuid4())
        for host in hosts
    )
    record(
        run.pk,
        Event.Kind.INSTRUCTION_STARTED,
        index=index,
        instruction=instruction.kind,
        stage=instruction.stage,
        title=instruction.title,
        hosts=hosts,
    )
    record_begin(instruction)
    if instruction.kind == Kind.START_GUESTS:
        _count_guests(run)
    transaction.on_commit(admit, robust=True)


def _count_guests(run: Run) -> None:
    """Count the guests that a run starts, until Down, also if it fails."""
    for start in PlannedStart.objects.filter(run=run):
        add_started(run.testbed, needs_of_rows(start.needs))
