"""Reads and writes the times of reservations, in the lab's time zone or in UTC.

A time that a clock change leaves out, or that it gives twice, is refused: a reservation
must not be an hour away from what its user meant.
"""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

from django.conf import settings
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from orchestration.errors import TestbedError

MOST_TEXT = 40
MOMENT = "%-d %b %Y %H:%M"


class NoMoment(TestbedError):
    """A text is no date and time, or not exactly one."""


def zones() -> list[str]:
    """Return the zones in which times may be typed, the lab's first."""
    return list(dict.fromkeys((settings.TIME_ZONE, "UTC")))


def moment(text: str, zone: str) -> datetime:
    """Read a date and time; one without an offset is in the zone. Raises: NoMoment."""
    said = text.strip()[: MOST_TEXT + 1]
    try:
        found = parse_datetime(said)
        if found is not None and timezone.is_naive(found):
            found = _in_zone(found, zone)
        if found is not None:
            timezone.localtime(found)
            return found.astimezone(UTC).replace(second=0, microsecond=0)
    except (ValueError, OverflowError):
        pass
    raise NoMoment(
        f"`{said[:MOST_TEXT]}` is no date and time.",
        hint="Write it as 2026-11-28T18:00.",
    )


def in_words(at: datetime) -> str:
    """Return a time in words, in the lab's time zone."""
    return f"{timezone.localtime(at).strftime(MOMENT)} {settings.TIME_ZONE}"


def period(begins_at: datetime, ends_at: datetime) -> str:
    """Return a time from one moment to another, with the zone."""
    begin, end = timezone.localtime(begins_at), timezone.localtime(ends_at)
    until = end.strftime("%H:%M" if begin.date() == end.date() else MOMENT)
    return f"{begin.strftime(MOMENT)} to {until} {settings.TIME_ZONE}"


def _in_zone(naive: datetime, zone: str) -> datetime:
    """Return a wall clock's time as a moment. Raises: NoMoment."""
    here = ZoneInfo(zone if zone in zones() else settings.TIME_ZONE)
    early, late = naive.replace(tzinfo=here), naive.replace(tzinfo=here, fold=1)
    if early.utcoffset() == late.utcoffset():
        return early
    shown = naive.strftime(MOMENT)
    if early.utcoffset() < late.utcoffset():  # type: ignore[operator]  # both are known
        raise NoMoment(
            f"There is no {shown} in {here.key}: the clocks are put forward.",
            hint="Choose another time.",
        )
    raise NoMoment(
        f"{shown} comes twice in {here.key}: the clocks are put back.",
        hint="Give it in UTC, or choose another time.",
    )
