"""Finds work that no worker takes, from rows: since when, and whether workers are busy.

For the pages of a run, a deletion and the images. A stopped worker sends no message, so
silence is measured: a started instruction without a claimed batch, or a run without a
driver that the server should have taken over long ago.
"""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.utils import timezone

from testbed.models import Batch, Cleanup, Fetch, Instruction, NewHost, Run

UNCLAIMED_S = 8


@dataclass(frozen=True, slots=True)
class Unclaimed:
    """Work that waits: for how long, and how many batches of others are at work."""

    what: str
    seconds: int
    busy: int


def unclaimed_run(run: Run) -> Unclaimed | None:
    """Return a run that no worker takes; None while one does or is not due yet."""
    if run.is_over:
        return None
    return _unclaimed("run", _waiting_since(run))


def unclaimed_cleanup(cleanup: Cleanup) -> Unclaimed | None:
    """Return a deletion that no worker takes."""
    is_pending = cleanup.status == Cleanup.Status.PENDING
    return _unclaimed("deletion", cleanup.created_at if is_pending else None)


def unclaimed_check(new: NewHost) -> Unclaimed | None:
    """Return the check of a new host that no worker takes."""
    is_pending = new.status == NewHost.Status.PENDING
    return _unclaimed("check", new.asked_at if is_pending else None)


def unclaimed_fetch(row: Fetch) -> Unclaimed | None:
    """Return a fetch that no worker takes; one that waits for a run says so itself."""
    is_pending = row.status == Fetch.Status.WAITING and not row.said
    return _unclaimed("fetch", row.asked_at if is_pending else None)


def unclaimed_look(asked_at: datetime | None) -> Unclaimed | None:
    """Return a requested look at the hosts that no worker takes."""
    return _unclaimed("look", asked_at)


def _waiting_since(run: Run) -> datetime | None:
    if run.status == Run.Status.PENDING and run.driver == Run.Driver.NOBODY:
        return run.created_at
    claimed = (Batch.Status.RUNNING, Batch.Status.FINISHED, Batch.Status.LOST)
    running = run.instructions.filter(status=Instruction.Status.RUNNING)
    waiting = running.exclude(batches__status__in=claimed).first()
    if waiting is None:
        return None
    sent = waiting.batches.exclude(admitted_at=None).order_by("admitted_at").first()
    if sent is not None:
        return sent.admitted_at
    # A batch held back for others waits for them, as its log says, while they live.
    return None if _at_work() else waiting.started_at


def _at_work() -> int:
    """Count the batches that a worker holds right now."""
    fresh = {"lease_until__gt": timezone.now()}
    return Batch.objects.filter(status=Batch.Status.RUNNING, **fresh).count()


def _unclaimed(what: str, since: datetime | None) -> Unclaimed | None:
    if since is None:
        return None
    seconds = int((timezone.now() - since).total_seconds())
    # A browser may still begin to drive; then the server takes over.
    if seconds < UNCLAIMED_S + (settings.DRIVER_PATIENCE_S if what == "run" else 0):
        return None
    return Unclaimed(what, seconds, _at_work())
