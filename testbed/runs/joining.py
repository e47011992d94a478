"""Ends batches and instructions, and starts the next instruction.

An instruction ends by one conditional UPDATE that matches only while it runs and has
no active batch: of the batches that finish at once, one wins, and only the winner
writes the result and continues. Reads rows only, so that the sweeper can join in place
of a worker that died.
"""

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.utils import timezone

from orchestration.events import SUCCESSFUL
from testbed.models import Batch, Event, Instruction, Run, Task
from testbed.runs.dispatch import drive
from testbed.runs.event_rows import Json
from testbed.runs.outcome import finish_run
from testbed.runs.places.admission import admit
from testbed.runs.recorder import record
from testbed.runs.stages import record_end


def finish_batch(batch: Batch, *, status: str = Batch.Status.FINISHED) -> bool:
    """End a running batch, join, admit others. False: it was ended already."""
    mine = Batch.objects.filter(
        pk=batch.pk, status=Batch.Status.RUNNING, worker=batch.worker
    )
    if not mine.update(status=status, ended_at=timezone.now()):
        return False
    join(batch.instruction_id)
    admit()
    return True


def join(instruction_id: int) -> bool:
    """End an instruction whose batches are all over. False: not yet, or already done.

    Starts the next instruction when the server drives, ends the run when a failure
    stops the plan. A run that is being cancelled is left to `cancelling`.
    """
    with transaction.atomic():
        instruction = Instruction.objects.get(pk=instruction_id)
        runs = Run.objects.select_for_update().defer("plan")
        run = runs.get(pk=instruction.run_id)
        active = Batch.objects.filter(
            instruction=OuterRef("pk"), status__in=Batch.ACTIVE
        )
        open_ones = Instruction.objects.filter(
            ~Exists(active), pk=instruction_id, status=Instruction.Status.RUNNING
        )
        # Most batches are not the last, and a large testbed has many tasks to read.
        if not open_ones.exists():
            return False
        tasks = list(instruction.tasks.all())
        instruction.status = _status(tasks)
        instruction.message = _message(tasks)
        won = open_ones.update(
            status=instruction.status,
            message=instruction.message,
            ended_at=timezone.now(),
        )
        if not won:
            return False
        _record_result(instruction, tasks)
        _go_on(run, instruction)
    return True


def _go_on(run: Run, instruction: Instruction) -> None:
    """Start the next instruction, or end the run; a cancelled one is left alone."""
    end = _end_after(run, instruction)
    record_end(instruction, goes_on=end is None)
    if end is None:
        drive(run.pk)
    elif end != Run.Status.CANCELLED:
        finish_run(run.pk, end)


def _end_after(run: Run, instruction: Instruction) -> Run.Status | None:
    """Return how the run ends after an instruction; None when its plan goes on."""
    if run.cancel_requested_at:
        return Run.Status.CANCELLED
    if instruction.batches.filter(status=Batch.Status.LOST).exists():
        return Run.Status.INTERRUPTED
    if instruction.status == Instruction.Status.SUCCEEDED:
        return None
    keeps_going = run.plan["instructions"][instruction.index].get("keep_going")
    return None if keeps_going else Run.Status.FAILED


def _status(tasks: list[Task]) -> Instruction.Status:
    if all(task.status in (*SUCCESSFUL, Task.Status.SKIPPED) for task in tasks):
        return Instruction.Status.SUCCEEDED
    if any(task.status == Task.Status.FAILED for task in tasks):
        return Instruction.Status.FAILED
    return Instruction.Status.CANCELLED


def _message(tasks: list[Task]) -> str:
    failed = [task for task in tasks if task.status == Task.Status.FAILED]
    good = sum(task.status in SUCCESSFUL for task in tasks)
    if failed:
        return f"{len(failed)} of {len(tasks)} failed: {failed[0].message}"
    skipped = sum(task.status == Task.Status.SKIPPED for task in tasks)
    if skipped:
        return f"{good} of {len(tasks)} were done; {skipped} were not begun."
    if good < len(tasks):
        return f"Cancelled; {good} of {len(tasks)} were done."
    unchanged = sum(task.status == Task.Status.UNCHANGED for task in tasks)
    return f"{good} done, {unchanged} of them unchanged." if unchanged else ""


def _record_result(instruction: Instruction, tasks: list[Task]) -> None:
    resources: list[Json] = [
        {
            "name": task.resource,
            "host": task.host,
            "status": task.status,
            "message": task.message,
            "hint": task.hint,
            "seconds": task.seconds,
        }
        for task in tasks
    ]
    record(
        instruction.run_id,
        Event.Kind.RESULT,
        index=instruction.index,
        success=instruction.status == Instruction.Status.SUCCEEDED,
        message=instruction.message,
        resources=resources,
    )
