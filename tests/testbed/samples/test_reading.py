"""The load of the last hour and week, with gaps where nothing was observed."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from math import nan

import pytest
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from testbed.models import Host, Testbed
from testbed.samples.figures import GuestFigures, HostFigures
from testbed.samples.reading import Period, Series, read
from testbed.samples.recording import HOUR, KEPT_FOR, Owner, fold_samples, record

SECOND = timedelta(seconds=1)
MINUTE = timedelta(minutes=1)


@pytest.fixture
def now(monkeypatch: pytest.MonkeyPatch) -> datetime:
    """The moment of reading, in the middle of an hour and at the begin of a minute."""
    hour = timezone.now().replace(minute=0, second=0, microsecond=0)
    moment = hour + timedelta(minutes=30)
    monkeypatch.setattr(timezone, "now", lambda: moment)
    return moment


def looks(testbed: Testbed, now: datetime, seen: dict[int, Sequence[float]]) -> None:
    """Record the CPU of guests g0, g1… so many seconds ago; None is not there."""
    for past, figures in sorted(seen.items(), reverse=True):
        guests = {
            f"g{number}": GuestFigures(cpu_percent)
            for number, cpu_percent in enumerate(figures)
            if cpu_percent is not None
        }
        record({testbed.pk: guests}, {}, now - past * SECOND)


def cpu_of(series: Series, now: datetime) -> dict[int, float | None]:
    """Return the CPU by the seconds that it is past."""
    ends = int(now.timestamp())
    past = [ends - second for second in series.times]
    return dict(zip(past, series.rounded()["cpu_percent"], strict=True))


def test_hour_has_each_look_of_the_guest(testbed: Testbed, now: datetime) -> None:
    looks(testbed, now, {3700: [1, 2], 20: [10, 20], 10: [11, 21.456], 0: [12, nan]})

    series = read(Owner(testbed.pk, None), "g1", Period.HOUR)

    assert cpu_of(series, now) == {20: 20, 10: 21.46, 0: None}
    assert series.ends - series.begins == 3600
    assert series.ends == int(now.timestamp())
    summary = series.summary("cpu_percent")
    cuts = (summary.last, summary.least, summary.most)
    assert cuts == pytest.approx((21.456, 20, 21.456))
    assert summary.mean == pytest.approx(20.728)
    assert series.summary("memory_bytes") is None


def test_look_without_the_guest_is_a_gap(testbed: Testbed, now: datetime) -> None:
    looks(testbed, now, {30: [1, 5], 20: [2], 10: [3], 0: [4, 8]})

    series = read(Owner(testbed.pk, None), "g1", Period.HOUR)

    assert cpu_of(series, now) == {30: 5, 20: None, 0: 8}


def test_names_place_may_change_between_looks(testbed: Testbed, now: datetime) -> None:
    """Guests before it go off and come on; the records of others are not sent."""
    seen = {30: [1, 2, 3, 4], 20: [None, 5, 6], 10: [None, None, 7, 8], 0: [9, 0, 1]}
    looks(testbed, now, seen)

    with CaptureQueriesContext(connection) as asked:
        series = read(Owner(testbed.pk, None), "g2", Period.HOUR)

    assert cpu_of(series, now) == {30: 3, 20: 6, 10: 7, 0: 1}
    _, sent = asked
    assert "SUBSTR" in sent["sql"]


def test_looks_that_did_not_come_are_a_gap(testbed: Testbed, now: datetime) -> None:
    looks(testbed, now, {130: [1], 120: [2], 80: [3], 60: [4]})

    series = read(Owner(testbed.pk, None), "g0", Period.HOUR)

    # 20 s are one late look, 40 s are more than three.
    assert cpu_of(series, now) == {130: 1, 120: 2, 119: None, 80: 3, 60: 4}


def test_figure_that_is_unknown_is_a_gap_in_its_line_alone(
    testbed: Testbed, now: datetime
) -> None:
    for past, cpu in ((20, 1.0), (10, nan), (0, 3.0)):
        figures = GuestFigures(cpu, memory_bytes=256.0)
        record({testbed.pk: {"g0": figures}}, {}, now - past * SECOND)

    series = read(Owner(testbed.pk, None), "g0", Period.HOUR)

    assert series.rounded()["cpu_percent"] == [1, None, 3]
    assert series.rounded()["memory_bytes"] == [256, 256, 256]


def test_week_joins_stored_hours_with_the_newest_looks(
    testbed: Testbed, now: datetime
) -> None:
    old = {int(3 * 3600 - 60 * n - s): [n] for n in (0, 1) for s in (5, 15)}
    looks(testbed, now, old | {65: [30], 75: [50], 5: [7]})
    assert fold_samples() == 4

    series = read(Owner(testbed.pk, None), "g0", Period.WEEK)

    begin = 3 * 3600
    assert cpu_of(series, now) == {
        begin: 0,
        begin - 60: 1,
        begin - 120: None,
        120: 40,
        60: 7,
    }


def test_week_has_each_minute_of_whole_hours(testbed: Testbed, now: datetime) -> None:
    """Also where a figure was never known; between two hours with looks is a gap."""
    begin = now - timedelta(hours=5, minutes=30)
    minutes = [*range(60), *range(120, 180)]
    for number in minutes:
        figures = GuestFigures(number / 3, received_bytes_per_s=1234.5)
        record({testbed.pk: {"g0": figures}}, {}, begin + number * MINUTE)
    fold_samples()

    series = read(Owner(testbed.pk, None), "g0", Period.WEEK)

    first = int(begin.timestamp())
    shown = dict(zip(series.times, series.rounded()["cpu_percent"], strict=True))
    wanted = {first + 60 * number: round(number / 3, 2) for number in minutes}
    assert shown == wanted | {first + 60 * 59 + 1: None}
    assert series.times == sorted(shown)
    assert set(series.rounded()["received_bytes_per_s"]) == {1234, None}
    assert set(series.rounded()["memory_bytes"]) == {None}


def test_week_ends_seven_days_ago(testbed: Testbed, now: datetime) -> None:
    for past in (KEPT_FOR + MINUTE, KEPT_FOR - MINUTE):
        record({testbed.pk: {"g0": GuestFigures(past.seconds)}}, {}, now - past)
    fold_samples()

    series = read(Owner(testbed.pk, None), "g0", Period.WEEK)

    assert len([value for value in series.rounded()["cpu_percent"] if value]) == 1


def test_host_is_read_by_itself(testbed: Testbed, now: datetime) -> None:
    main, other = Host.objects.get(name="main"), Host.objects.get(name="host-b")
    for past in (3 * HOUR, SECOND):
        loads = {main.pk: HostFigures(load=1.5), other.pk: HostFigures(load=9)}
        record({}, loads, now - past)
    fold_samples()

    hour = read(Owner(None, main.pk), "", Period.HOUR)
    week = read(Owner(None, main.pk), "", Period.WEEK)

    assert hour.rounded()["load"] == [1.5]
    assert week.rounded()["load"] == [1.5, None, 1.5]


def test_guest_that_was_never_seen_has_an_empty_series(
    testbed: Testbed, now: datetime
) -> None:
    for period in Period:
        series = read(Owner(testbed.pk, None), "nobody", period)

        assert series.times == []
        assert series.summary("cpu_percent") is None
