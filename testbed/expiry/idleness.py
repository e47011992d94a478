"""Finds the testbeds that are not used, which end earlier than planned.

Unused is a testbed on which no run was on and no console open for the whole time, and
whose guests all kept below a few percent of their vCPUs, in the means of ten minutes.
Samples have to tell that: where they lack, the testbed counts as used. What the system
and schedules do is no use.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from heapq import merge
from itertools import groupby
from math import isnan
from operator import itemgetter

from django.conf import settings
from django.db.models import Count, F, Max, Q

from orchestration.plan.snapshots import Rhythm
from testbed.access.permissions import Act
from testbed.models import Entry, Expiry, Run, Sample, SampleHour, Testbed
from testbed.models.expiry import expiry_of
from testbed.models.runs import SYSTEM
from testbed.samples.figures import shares_of
from testbed.samples.recording import HOUR

BUSY_PERCENT = 2.0
MEAN_OF_MIN = 10
SEEN_SHARE = 0.9  # of the minutes: a worker may restart
# A console that was opened before and never left may be open still.
LONGEST_CONSOLE = timedelta(days=1)
CONSOLES = (Act.CONSOLE.name.lower(), Act.WATCH_CONSOLE.name.lower())
# So many testbeds are looked at with one set of queries.
MOST_AT_ONCE = 200
MINUTE_S = 60
# A testbed's id, seconds since 1970, a guest, and the share of its vCPUs that it used.
Load = tuple[int, int, str, float]


def find_idle_ends(now: datetime) -> int:
    """Set an earlier end where a testbed is idle, and put it back where it is used."""
    rows = Testbed.objects.filter(condition__in=Testbed.DEPLOYED)
    kept = rows.exclude(expiry__action=Expiry.Action.KEEP)
    testbeds = list(kept.select_related("expiry").defer("started").order_by("pk"))
    idle, changed = idle_among(testbeds, now), 0
    for testbed in testbeds:
        expiry = expiry_of(testbed)
        if expiry is None or expiry.idle_at is None:
            changed += testbed.pk in idle and _set(testbed, expiry, now)
        elif testbed.pk not in idle:
            changed += _put_back(expiry, now)
    return changed


def is_used_again(expiry: Expiry, now: datetime) -> bool:
    """Put an end back that was earlier for idleness; True if its testbed is used."""
    if expiry.idle_at is None or idle_among([expiry.testbed], now):
        return False
    return _put_back(expiry, now)


def idle_among(testbeds: Sequence[Testbed], now: datetime) -> set[int]:
    """Return which testbeds were not used for the whole time, as samples prove.

    Four queries for each 200 of them; returns primary keys.
    """
    idle = settings.EXPIRY.idle
    if not idle:
        return set()
    since, found = now - idle, set[int]()
    left = [one for one in testbeds if not _was_extended(one, since)]
    for first in range(0, len(left), MOST_AT_ONCE):
        part = {one.pk: one.number for one in left[first : first + MOST_AT_ONCE]}
        for pk in _with_runs(part, since):
            part.pop(pk, None)
        seen = _with_consoles(part.values(), since)
        unused = [pk for pk, number in part.items() if number not in seen]
        found |= _quiet_among(unused, since, now)
    return found


def _put_back(expiry: Expiry, now: datetime) -> bool:
    warning = settings.EXPIRY.warning
    is_near = expiry.expires_at is not None and expiry.expires_at <= now + warning
    mine = Expiry.objects.filter(pk=expiry.pk, idle_at=expiry.idle_at)
    if is_near:  # the warning of the planned end was given with the earlier one
        return bool(mine.update(idle_at=None))
    return bool(mine.update(idle_at=None, warned_at=None, seen_at=None))


def _set(testbed: Testbed, expiry: Expiry | None, now: datetime) -> bool:
    """Let an idle testbed end after the warning, unless it ends by then anyway."""
    ends_at = now + settings.EXPIRY.warning
    if expiry is None:
        Expiry.objects.get_or_create(testbed=testbed)
    elif expiry.expires_at is not None and expiry.expires_at <= ends_at:
        return False
    rows = Expiry.objects.filter(testbed=testbed, idle_at=None)
    later = Q(expires_at=None) | Q(expires_at__gt=ends_at)
    return bool(rows.filter(later).update(idle_at=ends_at))


def _was_extended(testbed: Testbed, since: datetime) -> bool:
    expiry = expiry_of(testbed)
    extended_at = expiry.extended_at if expiry else None
    return extended_at is not None and extended_at > since


def _with_runs(testbeds: Iterable[int], since: datetime) -> Iterable[int]:
    """Return the testbeds on which a run was on that a user asked for."""
    runs = Run.objects.filter(testbed__in=list(testbeds)).exclude(asked_as=SYSTEM)
    own = runs.exclude(
        Q(options__schedule__isnull=False, options__schedule__in=list(Rhythm))
    )
    was_on = Q(created_at__gt=since) | Q(ended_at__gt=since)
    found = own.filter(was_on | Q(status__in=Run.ACTIVE)).order_by()
    return found.values_list("testbed", flat=True).distinct()


def _with_consoles(numbers: Iterable[int], since: datetime) -> set[int]:
    """Return the testbeds' numbers of which a console was opened, left, or open.

    By the record.
    """
    entries = Entry.objects.filter(
        act__in=CONSOLES,
        testbed_number__in=list(numbers),
        at__gt=since - LONGEST_CONSOLE,
    )
    entries = entries.exclude(outcome=Entry.Outcome.REFUSED)
    opened, gone = Q(what__startswith="opened"), Q(what__startswith="left")
    sums = (
        entries.order_by()
        .values("testbed_number")
        .annotate(
            last=Max("at"),
            opened=Count("pk", filter=opened),
            gone=Count("pk", filter=gone),
        )
    )
    found = sums.filter(Q(last__gt=since) | Q(opened__gt=F("gone")))
    seen = found.values_list("testbed_number", flat=True)
    return {number for number in seen if number is not None}


def _quiet_among(
    testbeds: Collection[int], since: datetime, until: datetime
) -> set[int]:
    """Return the testbeds of which samples prove that no guest was busy."""
    among = Q(testbed__in=list(testbeds))
    loads = merge(
        _looks(among, since, until), _minutes(among, since, until), key=itemgetter(0)
    )
    return {
        testbed
        for testbed, own in groupby(loads, itemgetter(0))
        if _was_quiet(own, since, until)
    }


def _was_quiet(found: Iterable[Load], since: datetime, until: datetime) -> bool:
    """Return whether samples cover the time, and no guest was busy in any of them."""
    first, end = since.timestamp(), until.timestamp()
    minutes: set[int] = set()
    loads: dict[tuple[str, int], list[float]] = defaultdict(list)
    for _, at, name, percent in found:
        if isnan(percent) or not first <= at < end:
            continue
        minutes.add(at // MINUTE_S)
        loads[name, at // (MINUTE_S * MEAN_OF_MIN)].append(percent)
    if any(sum(values) / len(values) >= BUSY_PERCENT for values in loads.values()):
        return False
    return len(minutes) >= SEEN_SHARE * ((until - since) / timedelta(minutes=1))


def _looks(among: Q, since: datetime, until: datetime) -> Iterator[Load]:
    """Yield the loads of single looks, by testbed."""
    looks = Sample.objects.filter(among, taken_at__gte=since, taken_at__lt=until)
    rows = looks.order_by("testbed_id").values_list(
        "testbed", "taken_at", "names", "figures"
    )
    for testbed, taken_at, names, figures in rows.iterator():
        at, shares = int(taken_at.timestamp()), shares_of(figures)
        for name, share in zip(names.split("\n"), shares, strict=True):
            yield testbed, at, name, share


def _minutes(among: Q, since: datetime, until: datetime) -> Iterator[Load]:
    """Yield the loads of the minutes of past hours, by testbed."""
    hours = SampleHour.objects.filter(
        among, began_at__gt=since - HOUR, began_at__lt=until
    )
    rows = hours.order_by("testbed_id").values_list(
        "testbed", "began_at", "name", "figures"
    )
    for testbed, began_at, name, figures in rows.iterator():
        at = int(began_at.timestamp())
        for minute, share in enumerate(shares_of(figures)):
            yield testbed, at + MINUTE_S * minute, name, share
