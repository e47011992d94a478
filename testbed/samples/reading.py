"""Reads the load of a guest or a host: each look of the last hour, minutes of a week.

Pages and programs get the columns as they are drawn. Where nothing was observed is a
gap, never a line or a zero: a look that lacks the guest, looks that did not come, and
the time of a host that was silent.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import groupby
from math import isnan

from django.conf import settings
from django.db.models import Q, QuerySet
from django.db.models.functions import Substr
from django.utils import timezone

from testbed.models import Sample, SampleHour
from testbed.samples.figures import FIGURE_BYTES, Record, mean, record_at, values_of
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

    def rounded(self) -> dict[str, list[float | None]]:
        """Return the columns, rounded to what a chart shows."""
        return {
            name: [None if value is None else _rounded(value) for value in column]
            for name, column in self.columns.items()
        }

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
    points = _looks(samples.order_by("taken_at"), name, width)
    gap_s = float(LATE_LOOKS * settings.OBSERVE_EVERY_S)
    if period is Period.WEEK:
        points = _minutes(points, width)
        gap_s = max(gap_s, 1.5 * MINUTE_S)
    found = _Columns(width, gap_s)
    if period is Period.WEEK:
        _add_hours(found, owner, name, begins_at)
    for moment, record in points:
        found.add(_seconds(moment), record)
    columns = dict(zip(owner.kind._fields, found.columns, strict=True))
    return Series(_seconds(begins_at), _seconds(ends_at), found.times, columns)


class _Columns:
    """Columns of `width` figures that grow in the order of time.

    They have one None where looks are missing for longer than `gap_s`, or lack the
    figures.
    """

    def __init__(self, width: int, gap_s: float) -> None:
        self.times: list[int] = []
        self.columns: list[list[float | None]] = [[] for _ in range(width)]
        self._gap_s = gap_s
        self._is_gap = True

    def add(self, second: int, record: Record | None) -> None:
        """Add one record; of two in a second the first."""
        if self.times and second <= self.times[-1]:
            return
        is_gap = record is None or all(map(isnan, record))
        self._end_before(second)
        if is_gap and self._is_gap:
            return
        self.times.append(second)
        for number, column in enumerate(self.columns):
            column.append(None if record is None else _figure(record[number]))
        self._is_gap = is_gap

    def add_minutes(self, second: int, figures: tuple[float, ...]) -> None:
        """Add the records of minutes, the first of which begins at a second.

        As `add` does with each of them: a week has 60,000 figures.
        """
        width = len(self.columns)
        parts = [figures[number::width] for number in range(width)]
        is_later = not self.times or second > self.times[-1]
        is_whole = any(part and not any(map(isnan, part)) for part in parts)
        if not (is_later and is_whole):
            for number, record in enumerate(zip(*parts, strict=True)):
                self.add(second + MINUTE_S * number, record)
            return
        self._end_before(second)
        ends = second + MINUTE_S * len(parts[0])
        self.times.extend(range(second, ends, MINUTE_S))
        for column, part in zip(self.columns, parts, strict=True):
            column.extend([None if value != value else value for value in part])
        self._is_gap = False

    def _end_before(self, second: int) -> None:
        """End the line where looks are missing before a second."""
        if not self._is_gap and second - self.times[-1] > self._gap_s:
            self.times.append(self.times[-1] + 1)
            for column in self.columns:
                column.append(None)
            self._is_gap = True


def _looks(samples: QuerySet[Sample], name: str, width: int) -> Iterator[Point]:
    """Yield the record of one name in each sample; None where the sample lacks it.

    The database sends the records from the first place of the name to its last: all
    those of a thousand guests are 24 KB in each of the looks.
    """
    places = _places(samples, name)
    known = {place for place in places.values() if place is not None}
    first, last = min(known, default=0), max(known, default=0)
    size = FIGURE_BYTES * width
    part = Substr("figures", 1 + size * first, size * (1 + last - first))
    rows = samples.values_list("pk", "taken_at", part)
    for number, taken_at, packed in rows.iterator():
        if number not in places:  # saved since
            continue
        place = places[number]
        found = None if place is None else record_at(packed, place - first, width)
        yield taken_at, found


def _places(samples: QuerySet[Sample], name: str) -> Mapping[int, int | None]:
    """Return the place of a name in each sample, by the sample's number."""
    places: dict[int, int | None] = {}
    names, place = None, None
    for number, listed in samples.values_list("pk", "names").iterator():
        if listed != names:  # of a thousand guests, and mostly the same
            names, place = listed, _place(listed, name)
        places[number] = place
    return places


def _place(names: str, name: str) -> int | None:
    listed = names.split("\n")
    return listed.index(name) if name in listed else None


def _minutes(looks: Iterable[Point], width: int) -> Iterator[Point]:
    for minute, together in groupby(looks, lambda point: minute_of(point[0])):
        known = [record for _, record in together if record is not None]
        yield minute, mean(known, width) if known else None


def _add_hours(found: _Columns, owner: Owner, name: str, begins_at: datetime) -> None:
    """Add the minutes of stored hours since a time."""
    of_owner = Q(testbed=owner.testbed, host=owner.host, name=name)
    hours = SampleHour.objects.filter(of_owner, began_at__gt=begins_at - HOUR)
    width = len(owner.kind._fields)
    rows = hours.order_by("began_at").values_list("began_at", "figures")
    for began_at, packed in rows.iterator():
        figures = values_of(packed)
        past = -(-(begins_at - began_at) // timedelta(seconds=MINUTE_S))
        first = max(0, past)
        second = _seconds(began_at) + MINUTE_S * first
        found.add_minutes(second, figures[width * first :])


def _figure(value: float) -> float | None:
    """Return one figure; None where it is unknown."""
    return None if value != value else value


def _rounded(value: float) -> float:
    return round(value) if value >= 1000 else round(value, 2)


def _seconds(moment: datetime) -> int:
    return int(moment.timestamp())
