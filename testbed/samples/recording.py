"""Saves the samples of a look, folds them into minutes after an hour, and forgets.

The observation calls `record`, housekeeping calls `fold_samples` and `forget_samples`.
A look costs one row for each testbed and host, however many guests there are. An hour
is folded when the next one is over, so that the last 60 minutes are always there look
by look. Folding and its deletion are one transaction for each testbed and host.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from itertools import groupby
from typing import NamedTuple

from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from testbed.models import Sample, SampleHour
from testbed.samples.figures import (
    Figures,
    GuestFigures,
    HostFigures,
    Record,
    mean,
    pack,
    unpack,
)

HOUR = timedelta(hours=1)
KEPT_FOR = timedelta(days=7)
MINUTES = 60
# The hours of one testbed or host that one call folds: the rest is folded the next time.
HOURS_AT_ONCE = 24
_NOTHING = {GuestFigures: pack([GuestFigures()]), HostFigures: pack([HostFigures()])}


class Owner(NamedTuple):
    """A testbed or a host, by its number, and what its records are."""

    testbed: int | None
    host: int | None

    @property
    def kind(self) -> type[Figures]:
        """The kind of its records."""
        return HostFigures if self.testbed is None else GuestFigures

    def rows(self) -> QuerySet[Sample]:
        """Return its samples."""
        return Sample.objects.filter(testbed=self.testbed, host=self.host)


def record(
    guests: Mapping[int, Mapping[str, GuestFigures]],
    hosts: Mapping[int, HostFigures],
    taken_at: datetime,
) -> None:
    """Save one look: the figures of testbeds' guests by name, and of hosts."""
    rows = [
        Sample(
            testbed_id=testbed,
            taken_at=taken_at,
            names="\n".join(figures),
            figures=pack(figures.values()),
        )
        for testbed, figures in guests.items()
        if figures
    ]
    rows += [
        Sample(host_id=host, taken_at=taken_at, figures=pack([figures]))
        for host, figures in hosts.items()
    ]
    Sample.objects.bulk_create(rows)


def fold_samples() -> int:
    """Fold the samples of hours that are over for an hour; return how many samples."""
    before = _hour_of(timezone.now()) - HOUR
    old = Sample.objects.filter(taken_at__lt=before).order_by()
    owners = old.values_list("testbed", "host").distinct()
    return sum(_fold(Owner(*owner), before) for owner in owners)


def forget_samples() -> int:
    """Delete the hours that are older than a week; return how many."""
    old = SampleHour.objects.filter(began_at__lt=timezone.now() - KEPT_FOR)
    return old.delete()[0]


def minute_means(
    samples: Iterable[Sample], kind: type[Figures]
) -> Iterator[tuple[datetime, dict[str, Record]]]:
    """Yield the means of each minute that has samples, by names; in order of time."""
    width = len(kind._fields)
    for minute, together in groupby(samples, lambda sample: minute_of(sample.taken_at)):
        seen: dict[str, list[Record]] = {}
        for sample in together:
            records = unpack(sample.figures, width)
            for name, figures in zip(sample.names.split("\n"), records, strict=True):
                seen.setdefault(name, []).append(figures)
        yield minute, {name: mean(records, width) for name, records in seen.items()}


def minute_of(moment: datetime) -> datetime:
    """Return the begin of a moment's minute."""
    return moment.replace(second=0, microsecond=0)


def _fold(owner: Owner, before: datetime) -> int:
    samples = owner.rows().filter(taken_at__lt=before).order_by("taken_at")
    folded = 0
    for _ in range(HOURS_AT_ONCE):
        first = samples.first()
        if first is None:
            break
        began_at = _hour_of(first.taken_at)
        due = samples.filter(taken_at__lt=began_at + HOUR)
        # Before the transaction: SQLite has one writer at a time.
        hours = list(_hours(due.iterator(), owner, began_at))
        with transaction.atomic():
            # An hour that is there stays: the clock was set back.
            SampleHour.objects.bulk_create(hours, ignore_conflicts=True)
            folded += due.delete()[0]
    return folded


def _hours(
    samples: Iterable[Sample], owner: Owner, began_at: datetime
) -> Iterator[SampleHour]:
    nothing = _NOTHING[owner.kind]
    found: dict[str, list[bytes]] = {}
    for minute, means in minute_means(samples, owner.kind):
        for name, figures in means.items():
            found.setdefault(name, [nothing] * MINUTES)[minute.minute] = pack([figures])
    for name, minutes in found.items():
        yield SampleHour(
            testbed_id=owner.testbed,
            host_id=owner.host,
            name=name,
            began_at=began_at,
            figures=b"".join(minutes),
        )


def _hour_of(moment: datetime) -> datetime:
    return moment.replace(minute=0, second=0, microsecond=0)
