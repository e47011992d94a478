"""Log lines for the begin and the end of each stage, also of one that prints nothing.

`dispatch` calls `record_begin` when an instruction starts, `joining` calls `record_end`
when it has ended, both inside their transactions. The first stage has no such lines, as
its only task prints one.
"""

from collections import Counter

from django.db.models import QuerySet
from django.utils import timezone

from orchestration.amounts import count_of
from orchestration.plan.model import Stage
from testbed.models import Event, Instruction, Task
from testbed.runs.recorder import record


def record_begin(instruction: Instruction) -> None:
    """Record the begin of a stage, when this is its first instruction."""
    if instruction.stage == Stage.PREPARE or instruction != _members(instruction)[0]:
        return
    hosts = list(_tasks(instruction).values_list("host", flat=True))
    tasks = count_of(len(hosts), "task")
    on_hosts = count_of(len(set(hosts)), "host")
    _record(instruction, f"{instruction.stage} begins: {tasks} on {on_hosts}.")


def record_end(instruction: Instruction, *, goes_on: bool) -> None:
    """Record the end of a stage, when its last instruction ended or the plan did."""
    members = _members(instruction)
    if instruction.stage == Stage.PREPARE or (goes_on and instruction != members[-1]):
        return
    counts = Counter(_tasks(instruction).values_list("status", flat=True))
    words = ", ".join(f"{counts[s]} {s}" for s in Task.Status.values if counts[s])
    now = timezone.now()
    seconds = (now - (members[0].started_at or now)).total_seconds()
    _record(instruction, f"{instruction.stage} ends after {seconds:.1f} s: {words}.")


def _members(instruction: Instruction) -> list[Instruction]:
    """Return the instructions of a stage in order."""
    run, stage = instruction.run_id, instruction.stage
    return list(Instruction.objects.filter(run=run, stage=stage).order_by("index"))


def _tasks(instruction: Instruction) -> QuerySet[Task]:
    """Return the tasks of a stage."""
    run, stage = instruction.run_id, instruction.stage
    return Task.objects.filter(instruction__run=run, instruction__stage=stage)


def _record(instruction: Instruction, text: str) -> None:
    record(instruction.run_id, Event.Kind.LOG, index=instruction.index, text=text)
