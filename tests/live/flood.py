"""A flood of log lines without guests: a run that is on, and processes that write.

`open_run` makes a run whose one batch is leased to nobody who exists, so that the
product leaves it alone; `log_writers` starts processes that put lines into real
recorders, as the workers of many batches do, `step_writer` one that ends tasks;
`close_run` ends it. Each line begins
with the clock of the machine and its number, by which a reader finds what is late,
lost, double or in disorder. Used by script/bench logs and the browser tests.
"""

import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from tests.live.stack import CHECKOUT, Stack

_OPEN = """\
import json
import uuid
from datetime import timedelta
from django.utils import timezone
from orchestration.plan.model import Command, Options
from orchestration.plan.model import Plan
from testbed.models import Run, Task, Testbed
now = timezone.now()
testbed = Testbed.objects.get(name={slug!r})
run = Run.objects.create(
    testbed=testbed, command="up", asked_by=testbed.owner,
    plan=json.loads(Plan(Command.UP, Options(), ()).to_json()),
    status="running", driver="server", started_at=now,
)
one = run.instructions.create(
    index=0, kind="run-scripts", stage="Set up guests", title="Set up guests",
    status="running", started_at=now,
)
one.batches.create(
    host="main", status="running", celery_id=uuid.uuid4(), worker="nobody",
    lease_until=now + timedelta(days=1),
)
Task.objects.bulk_create(
    Task(instruction=one, resource="guest-%03d" % n, host="main")
    for n in range({resources})
)
print(run.pk)
"""
_CLOSE = """\
from django.utils import timezone
from testbed.models import Batch, Event, Instruction, Run
from testbed.runs.recorder import record
now = timezone.now()
Batch.objects.filter(instruction__run={run}).update(status="finished", ended_at=now)
Instruction.objects.filter(run={run}).update(status="succeeded", ended_at=now)
Run.objects.filter(pk={run}).update(status="succeeded", ended_at=now)
record({run}, Event.Kind.RUN, status="succeeded", message="", hint="")
"""


@dataclass(frozen=True, slots=True)
class Flood:
    """How many guests say how much."""

    resources: int
    lines_per_s: float
    seconds: float

    @property
    def lines_each(self) -> int:
        """How many lines each guest says in all."""
        return round(self.lines_per_s * self.seconds)

    @property
    def lines(self) -> int:
        """How many lines are said in all."""
        return self.resources * self.lines_each


def open_run(stack: Stack, slug: str, flood: Flood) -> int:
    """Make a run that is on, with a task for each guest; return its number."""
    return open_runs(stack, [slug], flood)[0]


def open_runs(stack: Stack, slugs: Sequence[str], flood: Flood) -> list[int]:
    """Make such a run of each testbed; return their numbers."""
    tasks = flood.resources
    code = "".join(_OPEN.format(slug=slug, resources=tasks) for slug in slugs)
    return [int(number) for number in stack.shell(code).split()]


def close_run(stack: Stack, *runs: int) -> None:
    """End the runs well."""
    stack.shell("".join(_CLOSE.format(run=run) for run in runs))


@contextmanager
def log_writers(
    stack: Stack, runs: Sequence[int], flood: Flood, *, processes: int
) -> "Iterator[list[subprocess.Popen[bytes]]]":
    """Run the processes; each has its share of each run's guests, and ends by itself."""
    started = _start(stack, runs, flood, processes)
    try:
        yield started
    finally:
        for process in started:
            process.kill()
            process.wait()


@contextmanager
def step_writer(
    stack: Stack, runs: Sequence[int], *, first: int, count: int, pace_s: float
) -> "Iterator[subprocess.Popen[bytes]]":
    """Run a process that ends tasks of the runs, and prints when."""
    numbers = (",".join(map(str, runs)), first, count, pace_s)
    words = [sys.executable, "-m", "tests.live.step_writer", *map(str, numbers)]
    process = subprocess.Popen(
        words,
        env=stack.environment,
        cwd=CHECKOUT,
        start_new_session=True,
        stdout=subprocess.PIPE,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()


def read_line(text: str) -> tuple[float, int]:
    """Return when a line was said, and its number among those of its guest."""
    clock, number, _ = text.split(" ", 2)
    return float(clock), int(number)


def _start(
    stack: Stack, runs: Sequence[int], flood: Flood, processes: int
) -> "list[subprocess.Popen[bytes]]":
    share = -(-flood.resources // processes)
    started = []
    for first in range(0, flood.resources, share):
        count = min(share, flood.resources - first)
        numbers = (
            ",".join(map(str, runs)),
            first,
            count,
            flood.lines_per_s,
            flood.lines_each,
        )
        words = [sys.executable, "-m", "tests.live.log_writer", *map(str, numbers)]
        started.append(
            subprocess.Popen(
                words, env=stack.environment, cwd=CHECKOUT, start_new_session=True
            )
        )
    return started
