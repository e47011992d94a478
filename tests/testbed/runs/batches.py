"""Helpers that let batches work in guests, or lose their worker.

Rows are written as workers that are not there any more would have left them; nothing
here runs a batch.
"""

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

from orchestration.plan.model import Kind
from testbed.models import Event, Instruction, Task
from testbed.runs import lease
from tests.waiting import wait_until

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


def idle_worker():
    """Start a process that passes for a Celery worker until it reads a line."""
    words = [sys.executable, "-c", "input()", "celery"]
    process = subprocess.Popen(words, stdin=subprocess.PIPE)
    # Before the exec the process still has the command line of the tests.
    cmdline = Path(f"/proc/{process.pid}/cmdline")
    wait_until(lambda: cmdline.read_bytes().endswith(b"input()\0celery\0"))
    return process


def holder_that_died():
    """Return the name of a holder whose process is no more."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    return held_by(dead)


def results(run):
    return Event.objects.filter(run=run, kind="result")
