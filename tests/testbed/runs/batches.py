"""What tests do to batches: let them work in guests, or lose their worker.

Rows are written as workers that are not there any more would have left them; nothing
here runs a batch.
"""

import os
import subprocess
from datetime import timedelta

from orchestration.plan.model import Kind
from testbed.models import Event, Instruction, Task
from testbed.runs import lease

LONG_AGO = timedelta(hours=1)


def sets_up_guests(batch, **statuses):
    """Let a batch be one that works in guests, each with a task."""
    instructions = Instruction.objects.filter(pk=batch.instruction_id)
    instructions.update(kind=Kind.SET_UP_GUESTS)
    for name, status in statuses.items():
        Task.objects.create(
            instruction=batch.instruction,
            resource=name,
            host=batch.host,
            status=status,
        )


def held_by(process):
    """Return the name that a process of this machine has as a holder."""
    return lease.holder_name("x").replace(f" {os.getpid()} ", f" {process.pid} ")


def holder_that_died():
    """Return the name of a holder whose process is no more."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    return held_by(dead)


def results(run):
    return Event.objects.filter(run=run, kind="result")
