"""Deletes the logs of old runs, because a lab's database would otherwise only grow.

A run loses its events (its log and its progress) and the plan that it followed. The run
itself stays with its stages, tasks and outcome. Each testbed's last run, and any run
that is not over, keeps everything. Rows are deleted in small transactions, so that no
other process waits long for the database.
"""

from collections.abc import Iterator
from datetime import datetime, timedelta

from django.conf import settings
from django.db.models import Max, QuerySet
from django.utils import timezone

from testbed.models import Cleanup, Event, Run

# A chunk takes some ten milliseconds on SQLite, which has one writer at a time.
CHUNK_EVENTS = 2_000
CHUNKS_AT_ONCE = 50


def remove_old_logs(
    *, chunk_events: int = CHUNK_EVENTS, chunks: int = CHUNKS_AT_ONCE
) -> int:
    """Delete the events of runs that ended long ago; return the number of such runs.

    Bounded: the rest is deleted the next time.
    """
    if not settings.KEEP_RUNS_DAYS:
        return 0
    removed = 0
    for run_id in list(_old_runs().values_list("pk", flat=True)):
        for _ in _chunks(run_id, chunk_events):
            chunks -= 1
            if not chunks:
                return removed
        Run.objects.filter(pk=run_id).update(log_removed_at=timezone.now(), plan={})
        removed += 1
    return removed


def forget_old_cleanups() -> int:
    """Delete the records of deletions that ended long ago; return how many."""
    if not settings.KEEP_RUNS_DAYS:
        return 0
    old = Cleanup.objects.filter(ended_at__lt=_limit())
    return old.delete()[1].get("testbed.Cleanup", 0)


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


def _chunks(run_id: int, size: int) -> Iterator[int]:
    """Delete a run's events from the first on; yield how many each chunk had."""
    events = Event.objects.filter(run=run_id)
    while True:
        first = events.order_by("seq").values_list("seq", flat=True).first()
        if first is None:
            return
        yield events.filter(seq__lt=first + size).delete()[0]
