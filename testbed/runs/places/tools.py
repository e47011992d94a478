"""Tools: executions that go on while others run, until they are stopped.

A tool holds a worker for as long as it runs, so that their number is bounded, for each
user and altogether. Down ends the tools of its testbed.
"""

from dataclasses import replace
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User

from orchestration.amounts import count_of
from orchestration.errors import ExecutionRefused, NotEnoughSpace
from orchestration.instructions.execution.captures import FILE, MIB
from orchestration.plan.captures import CaptureLimits, with_limits
from orchestration.plan.execution import Execution
from testbed.models import Run, Task, Testbed
from testbed.models.runs import RunQuerySet
from testbed.runs.cancelling import request_cancel
from testbed.runs.places.fairness import Places


def tools_of(testbed: Testbed) -> RunQuerySet:
    """Return the tools of a testbed that run."""
    return Run.objects.filter(testbed=testbed).tools()


def require_place(run: Run) -> None:
    """Let a new tool have its workers. Raises: ExecutionRefused (too many run)."""
    own = Run.objects.filter(asked_by=run.asked_by).tools().exclude(pk=run.pk).count()
    if own >= settings.USER_TOOLS:
        raise ExecutionRefused(
            f"You run {count_of(own, 'tool')}; no more may run at once.",
            hint="Stop one first.",
        )
    tasks = Task.objects.filter(instruction__run__in=Run.objects.tools())
    workers = tasks.values("instruction__run", "host").distinct().count()
    places = Places.of_workers(settings.CELERY_WORKER_CONCURRENCY).total
    if workers > max(1, places // 2):
        raise ExecutionRefused(
            "Half of the workers are busy with tools, and no more may be.",
            hint="Stop a tool, or wait until one is over.",
        )


def end_tools(testbed: Testbed, user: User | None) -> int:
    """Ask all tools of a testbed to stop, for None by the system; return how many."""
    found = list(tools_of(testbed).values_list("pk", flat=True))
    return sum(request_cancel(pk, user) for pk in found)


def with_capture_limits(testbed: Testbed, wanted: Execution) -> Execution:
    """Return an execution whose capture, if it is one, has its limits.

    Inside a transaction of the caller: the testbed stays locked, so that captures that
    begin together are counted. Raises: ExecutionRefused, NotEnoughSpace (the testbed
    keeps too many packets).
    """
    if wanted.capture is None:
        return wanted
    capture = with_limits(wanted.capture, CaptureLimits(**settings.CAPTURE_LIMITS))
    Testbed.objects.select_for_update().get(pk=testbed.pk)
    kept = _captured_bytes(testbed)
    if kept + capture.most_mib * MIB > settings.TESTBED_CAPTURES_MIB * MIB:
        raise NotEnoughSpace(
            f"The captures of testbed {testbed} take {kept // MIB} MiB, and of "
            f"{settings.TESTBED_CAPTURES_MIB} MiB not {capture.most_mib} MiB are left.",
            hint="Make this one smaller; captures go with the logs of their runs.",
        )
    return replace(wanted, capture=capture)


def _captured_bytes(testbed: Testbed) -> int:
    """Return what captures take; one that runs counts with all that it may take."""
    running: dict[str, int] = {
        str(pk): most_mib * MIB
        for pk, most_mib in tools_of(testbed)
        .filter(options__capture__most_mib__isnull=False)
        .values_list("pk", "options__capture__most_mib")
    }
    files = testbed.project.answers(0).parent.glob(f"*/{FILE}")
    over = (path for path in files if path.parent.name not in running)
    return sum(running.values()) + sum(map(_size_of, over))


def _size_of(path: Path) -> int:
    """Return a file's bytes; 0 when it was removed with its log meanwhile."""
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
