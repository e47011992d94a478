"""Finds the testbeds that are not used, which end earlier than planned.

Unused is a testbed on which no run was on and no console open for the whole time, and
whose guests all kept below a few percent of their vCPUs, in the means of ten minutes.
Samples have to tell that: where they lack, the testbed counts as used. What the system
and schedules do is no use.
"""

from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, timedelta
from math import isnan

from django.conf import settings
from django.db.models import Max, Q

from orchestration.plan.snapshots import Rhythm
from testbed.access.permissions import Act
from testbed.models import Entry, Expiry, Run, Sample, SampleHour, Testbed
from testbed.models.runs import SYSTEM
from testbed.samples.figures import GuestFigures, unpack
from testbed.samples.recording import HOUR, minute_of

BUSY_PERCENT = 2.0
MEAN_OF_MIN = 10
SEEN_SHARE = 0.9  # of the minutes: a worker may restart
# A console that was opened before and never left may be open still.
LONGEST_CONSOLE = timedelta(days=1)
CONSOLES = (Act.CONSOLE.name.lower(), Act.WATCH_CONSOLE.name.lower())
Load = tuple[datetime, str, float]


def find_idle_ends(now: datetime) -> int:
    """Set an earlier end where a testbed is idle, and put it back where it is used."""
    changed = 0
    rows = Testbed.objects.filter(condition__in=Testbed.DEPLOYED)
    for testbed in rows.exclude(expiry__action=Expiry.Action.KEEP):
        expiry = Expiry.objects.filter(testbed=testbed).first()
        if expiry is not None and expiry.idle_at is not None:
            changed += is_used_again(expiry, now)
        elif is_idle(testbed, expiry, now):
            changed += _set(testbed, now)
    return changed


def is_used_again(expiry: Expiry, now: datetime) -> bool:
    """Put an end back that was earlier for idleness; True if its testbed is used."""
    if expiry.idle_at is None or is_idle(expiry.testbed, expiry, now):
        return False
    warning = settings.EXPIRY.warning
    is_near = expiry.expires_at is not None and expiry.expires_at <= now + warning
    mine = Expiry.objects.filter(pk=expiry.pk, idle_at=expiry.idle_at)
    if is_near:  # the warning of the planned end was given with the earlier one
        return bool(mine.update(idle_at=None))
    return bool(mine.update(idle_at=None, warned_at=None, seen_at=None))


def is_idle(testbed: Testbed, expiry: Expiry | None, now: datetime) -> bool:
    """Return whether a testbed was not used for the whole time, as samples prove."""
    idle = settings.EXPIRY.idle
    if not idle:
        return False
    since = now - idle
    extended_at = expiry.extended_at if expiry else None
    if extended_at is not None and extended_at > since:
        return False
    return not (
        _had_runs(testbed, since)
        or _had_consoles(testbed, since)
        or not _was_quiet(testbed, since, now)
    )


def _set(testbed: Testbed, now: datetime) -> bool:
    """Let an idle testbed end after the warning, unless it ends by then anyway."""
    ends_at = now + settings.EXPIRY.warning
    Expiry.objects.get_or_create(testbed=testbed)
    rows = Expiry.objects.filter(testbed=testbed, idle_at=None)
    later = Q(expires_at=None) | Q(expires_at__gt=ends_at)
    return bool(rows.filter(later).update(idle_at=ends_at))


def _had_runs(testbed: Testbed, since: datetime) -> bool:
    runs = Run.objects.filter(testbed=testbed).exclude(asked_as=SYSTEM)
    own = runs.exclude(
        Q(options__schedule__isnull=False, options__schedule__in=list(Rhythm))
    )
    if own.active().exists():
        return True
    last = own.aggregate(created=Max("created_at"), ended=Max("ended_at"))
    return any(at is not None and at > since for at in last.values())


def _had_consoles(testbed: Testbed, since: datetime) -> bool:
    """Return whether a console was opened, left, or open, by the record."""
    found = Entry.objects.filter(
        act__in=CONSOLES,
        testbed_number=testbed.number,
        at__gt=since - LONGEST_CONSOLE,
    )
    if found.filter(at__gt=since).exists():
        return True
    opened = found.filter(what__startswith="opened").count()
    return opened > found.filter(what__startswith="left").count()


def _was_quiet(testbed: Testbed, since: datetime, until: datetime) -> bool:
    """Return whether samples cover the time, and no guest was busy in any of them."""
    minutes: set[datetime] = set()
    loads: dict[tuple[str, int], list[float]] = defaultdict(list)
    for at, name, percent in _loads(testbed, since, until):
        if isnan(percent) or not since <= at < until:
            continue
        minutes.add(minute_of(at))
        loads[name, int(at.timestamp()) // (60 * MEAN_OF_MIN)].append(percent)
    if any(sum(found) / len(found) >= BUSY_PERCENT for found in loads.values()):
        return False
    return len(minutes) >= SEEN_SHARE * ((until - since) / timedelta(minutes=1))


def _loads(testbed: Testbed, since: datetime, until: datetime) -> Iterator[Load]:
    """Yield the share of its vCPUs that each guest used, by looks and then by minutes."""
    width = len(GuestFigures._fields)
    looks = Sample.objects.filter(
        testbed=testbed, taken_at__gte=since, taken_at__lt=until
    )
    for look in looks.order_by("-taken_at").iterator():
        records = unpack(look.figures, width)
        for name, record in zip(look.names.split("\n"), records, strict=True):
            yield look.taken_at, name, record[0]
    hours = SampleHour.objects.filter(
        testbed=testbed, began_at__gt=since - HOUR, began_at__lt=until
    )
    for hour in hours.order_by("-began_at").iterator():
        for minute, record in enumerate(unpack(hour.figures, width)):
            yield hour.began_at + timedelta(minutes=minute), hour.name, record[0]
