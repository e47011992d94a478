"""Reads the load of a guest or a host: each look of the last hour, minutes of a week.

Pages and programs get the columns as they are drawn. Where nothing was observed is a
gap, never a line or a zero: a look that lacks the guest, looks that did not come, and
the time of a host that was silent.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby
from math import isnan

from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from testbed.models import Sample, SampleHour
from testbed.samples.figures import Record, mean, record_at, unpack
from testbed.samples.recording import HOUR, KEPT_FOR, Owner, minute_of

MINUTE_S = 60
# Looks that may be missing before their time is a gap.
LATE_LOOKS = 3
Point = tuple[datetime, Record | None]


class Period(StrEnum):
    """How far back a chart goes."""

    HOUR = "hour"
    WEEK = "week"

    @classmethod
    def of(cls, word: str | None) -> "Period":
        """Return the period that a word names; the last hour for all other words."""
        return cls.WEEK if word == cls.WEEK else cls.HOUR

    @property
    def length(self) -> timedelta:
        """Return its length."""
        return HOUR if self is Period.HOUR else KEPT_FOR


@dataclass(frozen=True, slots=True)
class Summary:
    """A column in four figures; `last` is that of the newest look."""

    last: float
    least: float
    mean: float
    most: float


@dataclass(frozen=True, slots=True)
class Series:
    """Columns of figures at `times`, in seconds since 1970; None is a gap."""

    begins: int
    ends: int
    times: list[int]
    columns: dict[str, list[float | None]]

    def summary(self, column: str) -> Summary | None:
        """Return a column in four figures; None when it holds no figure."""
        known = [value for value in self.columns[column] if value is not None]
        if not known:
            return None
        return Summary(known[-1], min(known), sum(known) / len(known), max(known))


def read(owner: Owner, name: str, period: Period) -> Series:
    """Read the load of a guest by its name, or of a host, whose name is empty."""
    ends_at = timezone.now()
    begins_at = ends_at - period.length
    samples = owner.rows().filter(taken_at__gte=begins_at, taken_at__lte=ends_at)
    width = len(owner.kind._fields)
    points = _looks(samples.order_by("taken_at").iterator(), name, width)
    gap_s = float(LATE_LOOKS * settings.OBSERVE_EVERY_S)
    if period is Period.WEEK:
        points = _week(_minutes(points, width), owner, name, begins_at)
        gap_s = max(gap_s, 1.5 * MINUTE_S)
    times, records = _with_gaps(points, gap_s)
    columns = {
        field: [_figure(record, number) for record in records]
        for number, field in enumerate(owner.kind._fields)
    }
    return Series(_seconds(begins_at), _seconds(ends_at), times, columns)


def _looks(samples: Iterable[Sample], name: str, width: int) -> Iterator[Point]:
    for sample in samples:
        names = sample.names.split("\n")
        if name in names:
            record = record_at(sample.figures, names.index(name), width)
            yield sample.taken_at, record
        else:
            yield sample.taken_at, None


def _minutes(looks: Iterable[Point], width: int) -> Iterator[Point]:
    for minute, together in groupby(looks, lambda point: minute_of(point[0])):
        known = [record for _, record in together if record is not None]
        yield minute, mean(known, width) if known else None


def _week(
    newest: Iterable[Point], owner: Owner, name: str, begins_at: datetime
) -> Iterator[Point]:
    """Yield the minutes of stored hours, then those that are not yet stored."""
    of_owner = Q(testbed=owner.testbed, host=owner.host, name=name)
    hours = SampleHour.objects.filter(of_owner, began_at__gt=begins_at - HOUR)
    width = len(owner.kind._fields)
    for hour in hours.order_by("began_at").iterator():
        for number, record in enumerate(unpack(hour.figures, width)):
            moment = hour.began_at + timedelta(minutes=number)
            if moment >= begins_at:
                yield moment, record
    yield from newest


def _with_gaps(
    points: Iterable[Point], gap_s: float
) -> tuple[list[int], list[Record | None]]:
    """Put one None where looks are missing, or where they lack the figures."""
    times: list[int] = []
    records: list[Record | None] = []
    for moment, record in points:
        second = _seconds(moment)
        if times and second <= times[-1]:  # two looks in a second
            continue
        is_gap = record is None or all(map(isnan, record))
        was_gap = not records or records[-1] is None
        if not was_gap and second - times[-1] > gap_s:
            times.append(times[-1] + 1)
            records.append(None)
            was_gap = True
        if not (is_gap and was_gap):
            times.append(second)
            records.append(None if is_gap else record)
    return times, records


def _figure(record: Record | None, number: int) -> float | None:
    """Return one figure, rounded to what a chart shows; None where it is unknown."""
    if record is None or isnan(record[number]):
        return None
    value = record[number]
    return round(value) if value >= 1000 else round(value, 2)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
