"""Finds what is due of the testbeds' ends: announces them, then begins them.

Beat calls `expire` twice a minute. An end is begun only when its warning was given for
the whole warning time. Of that, steps of the clock and the time without a sweep do not
count, so that neither a wrong clock nor a service that was off ends a testbed unsaid.
"""

import logging
from datetime import datetime, timedelta

from celery import shared_task
from django.conf import settings
from django.db import transaction
from django.db.models import Q

from testbed.expiry.ending import end
from testbed.expiry.idleness import find_idle_ends, is_used_again
from testbed.expiry.warning import tell_end
from testbed.models import Expiry, Testbed
from testbed.models.expiry import NO_END, database_now

logger = logging.getLogger(__name__)
# Two sweeps that are further apart tell of a step of the clock, or of a pause.
LONGEST_STEP = timedelta(minutes=10)
MOST_AT_ONCE = 50


@shared_task(name="testbed.tasks.expiry.expire", ignore_result=True)
def expire() -> None:
    """Announce and begin the ends that are due."""
    expire_once(database_now())


@shared_task(name="testbed.tasks.expiry.find_idle", ignore_result=True)
def find_idle() -> None:
    """Find the testbeds that are not used, and those that are used again."""
    find_idle_ends(database_now())


def expire_once(now: datetime) -> dict[str, int]:
    """Run every step; return how many ends each one changed."""
    return {
        "set": _set_missing(),
        "clock": _follow_clock(now),
        "warned": _warn(now),
        "begun": _end(now),
    }


def _set_missing() -> int:
    """Set the ends of testbeds that came up otherwise than by a run, or went down."""
    gone = Expiry.objects.exclude(testbed__condition__in=Testbed.DEPLOYED)
    changed = gone.exclude(expires_at=None, idle_at=None).update(**NO_END)
    if not settings.EXPIRY.usual:
        return changed
    kept = Q(expiry__action=Expiry.Action.KEEP)
    up = Testbed.objects.filter(condition__in=Testbed.DEPLOYED, expiry__expires_at=None)
    new = list(up.exclude(kept)[:MOST_AT_ONCE])
    for testbed in new:
        Expiry.objects.settle(testbed, testbed.condition)
    return changed + len(new)


def _follow_clock(now: datetime) -> int:
    """Let the warnings go on where they were before a step of the clock or a pause."""
    moved = 0
    for row in Expiry.objects.exclude(warned_at=None).exclude(seen_at=None):
        if row.warned_at is None or row.seen_at is None:
            continue
        step = now - row.seen_at
        same = Expiry.objects.filter(pk=row.pk, seen_at=row.seen_at)
        if timedelta() <= step <= LONGEST_STEP:
            same.update(seen_at=now)
        else:
            moved += same.update(seen_at=now, warned_at=row.warned_at + step)
    latest = now + settings.EXPIRY.longest
    return moved + Expiry.objects.filter(expires_at__gt=latest).update(
        expires_at=latest
    )


def _warn(now: datetime) -> int:
    """Announce the ends that are near, each once, on the page and by mail."""
    near = Expiry.objects.ending(now + settings.EXPIRY.warning).filter(warned_at=None)
    warned = 0
    for row in near.select_related("testbed__owner")[:MOST_AT_ONCE]:
        mine = Expiry.objects.filter(pk=row.pk, warned_at=None)
        with transaction.atomic():
            if mine.update(warned_at=now, seen_at=now):
                row.warned_at = row.seen_at = now
                tell_end(row)
                warned += 1
                logger.info("%s is at %s: announced", row, row.ends_at)
    return warned


def _end(now: datetime) -> int:
    """Begin the ends that are due."""
    warned_until = now - settings.EXPIRY.warning
    due = Expiry.objects.ending(now).filter(warned_at__lte=warned_until)
    rows = list(due.select_related("testbed"))
    begun = 0
    for row in rows:
        if begun >= MOST_AT_ONCE:
            break
        if not is_used_again(row, now):
            begun += end(row.testbed, now) is not None
    return begun
