"""Deletes the logs of old runs and old entries of the record, because a lab's database would otherwise only grow.

A run loses its events (its log and its progress) and the plan that it followed. The run
itself stays with its stages, tasks and outcome, and says when and why its log went.
Logs go that are too old, and the oldest of a testbed or user whose logs take more than
their limits. Rows are deleted in small transactions, so that no other process waits
long for the database.
"""

import logging
import shutil
from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import Max, QuerySet
from django.utils import timezone

from orchestration.amounts import size
from testbed.access.limits import MIB, limits_of
from testbed.models import (
    Cleanup,
    Entry,
    Event,
    Invitation,
    Notification,
    Run,
    WebSession,
)

logger = logging.getLogger(__name__)
# A chunk takes some ten milliseconds on SQLite, which has one writer at a time.
CHUNK_EVENTS = 2_000
CHUNKS_AT_ONCE = 50
KEPT_NOTIFICATIONS = timedelta(days=30)
KEPT_INVITATIONS = timedelta(days=30)  # after their end


class Kept(NamedTuple):
    """A run that has its log; `testbed` is a name."""

    pk: int
    testbed: str
    status: str
    log_bytes: int


def remove_old_logs(
    *, chunk_events: int = CHUNK_EVENTS, chunks: int = CHUNKS_AT_ONCE
) -> int:
    """Delete the logs of runs that are due; return the number of such runs.

    Bounded: the rest is deleted the next time.
    """
    removed = 0
    for run_id, reason in _due().items():
        for _ in _chunks(run_id, chunk_events):
            chunks -= 1
            if not chunks:
                return removed
        _remove_files(Run.objects.select_related("testbed").get(pk=run_id))
        Run.objects.filter(pk=run_id).update(
            log_removed_at=timezone.now(), log_removed_for=reason, plan={}, log_bytes=0
        )
        logger.info("the log of run %d was removed: %s", run_id, reason or "its age")
        removed += 1
    return removed


def forget_old_cleanups() -> int:
    """Delete the records of deletions that ended long ago; return how many."""
    if not settings.KEEP_RUNS_DAYS:
        return 0
    old = Cleanup.objects.filter(ended_at__lt=_limit())
    return old.delete()[1].get("testbed.Cleanup", 0)


def forget_old_entries(*, most: int = CHUNK_EVENTS) -> int:
    """Remove entries of the record that are older than is kept; return how many."""
    if not settings.KEEP_RECORD_DAYS:
        return 0
    limit = timezone.now() - timedelta(days=settings.KEEP_RECORD_DAYS)
    return Entry.objects.forget_before(limit, most=most)


def forget_old_notifications() -> int:
    """Remove what users were told long ago; return how many rows."""
    return Notification.objects.forget(timezone.now() - KEPT_NOTIFICATIONS)


def forget_old_sessions() -> int:
    """Remove sessions that ended; return how many."""
    ended = WebSession.objects.filter(expire_date__lt=timezone.now())
    pks = list(ended.values_list("pk", flat=True)[:CHUNK_EVENTS])
    return WebSession.objects.filter(pk__in=pks).delete()[0]


def forget_old_invitations() -> int:
    """Remove invitations that ended long ago; return how many."""
    return Invitation.objects.forget_before(timezone.now() - KEPT_INVITATIONS)


def _due() -> dict[int, str]:
    """Return the runs whose log is due, with the reason unless it is their age."""
    old = _old_runs().values_list("pk", flat=True) if settings.KEEP_RUNS_DAYS else ()
    owners = User.objects.filter(testbeds__runs__log_bytes__gt=0).distinct()
    large: dict[int, str] = {}
    for owner in owners:
        large |= _above_limits(owner)
    return dict.fromkeys(old, "") | large


def _above_limits(owner: User) -> dict[int, str]:
    """Return the runs of a user whose logs go: of each testbed, then of all together."""
    limits, kept = limits_of(owner), _with_log(owner)
    gone: dict[int, str] = {}
    for name in sorted({run.testbed for run in kept}):
        own = [run for run in kept if run.testbed == name]
        gone |= _oldest(own, limits.testbed_log_mib * MIB, f"testbed {name}")
    left = [run for run in kept if run.pk not in gone]
    return gone | _oldest(left, limits.user_log_mib * MIB, str(owner))


def _with_log(owner: User) -> list[Kept]:
    runs = Run.objects.filter(testbed__owner=owner, log_bytes__gt=0).order_by("pk")
    names = ("pk", "testbed__name", "status", "log_bytes")
    return [Kept(*values) for values in runs.values_list(*names)]


def _oldest(runs: Sequence[Kept], limit: int, whose: str) -> dict[int, str]:
    """Return the oldest ended runs whose logs exceed a limit; the last run stays."""
    total = sum(run.log_bytes for run in runs)
    why = f"the logs of {whose} took {size(total)}; {size(limit)} are allowed"
    found = {}
    for run in runs[:-1]:
        if total <= limit:
            break
        if run.status not in Run.ACTIVE:
            total -= run.log_bytes
            found[run.pk] = why
    return found


def _remove_files(run: Run) -> None:
    """Remove what guests answered in a run, and what they sent."""
    project = run.testbed.project
    for folder in (project.answers(run.pk), project.fetched(run.pk)):
        shutil.rmtree(folder, ignore_errors=True)


def _limit() -> datetime:
    return timezone.now() - timedelta(days=settings.KEEP_RUNS_DAYS)


def _old_runs() -> QuerySet[Run]:
    """Return the runs whose log is due, oldest first."""
    last = Run.objects.order_by().values("testbed").annotate(last=Max("pk"))
    due = Run.objects.filter(ended_at__lt=_limit(), log_removed_at=None, last_seq__gt=0)
    return (
        due.exclude(status__in=Run.ACTIVE)
        .exclude(pk__in=last.values("last"))
        .order_by("pk")
    )


def _chunks(run_id: int, count: int) -> Iterator[int]:
    """Delete a run's events from the first on; yield how many each chunk had."""
    events = Event.objects.filter(run=run_id)
    while True:
        first = events.order_by("seq").values_list("seq", flat=True).first()
        if first is None:
            return
        yield events.filter(seq__lt=first + count).delete()[0]
