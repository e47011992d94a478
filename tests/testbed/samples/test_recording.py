"""Samples of a look, the hours that they become, and what is forgotten."""

from datetime import datetime, timedelta
from math import isnan, nan

import pytest
from django.utils import timezone

from testbed.models import Host, Sample, SampleHour, Testbed
from testbed.samples.figures import GuestFigures, HostFigures, unpack
from testbed.samples.recording import (
    HOUR,
    KEPT_FOR,
    fold_samples,
    forget_samples,
    record,
)


@pytest.fixture
def hour() -> datetime:
    """The begin of an hour that is over for more than an hour."""
    now = timezone.now().replace(minute=0, second=0, microsecond=0)
    return now - 2 * HOUR


def minutes(row: SampleHour, figures: type) -> list[tuple[float, ...]]:
    return list(unpack(row.figures, len(figures._fields)))


def test_look_is_one_row_for_a_testbed_and_one_for_a_host(testbed: Testbed) -> None:
    host, now = Host.objects.get(name="main"), timezone.now()
    guests = {"web": GuestFigures(50.0, 256.0), "db": GuestFigures(12.5)}

    record({testbed.pk: guests}, {host.pk: HostFigures(3.0, 0.5)}, now)

    of_testbed, of_host = (
        Sample.objects.get(host=None),
        Sample.objects.get(testbed=None),
    )
    assert (of_testbed.testbed, of_testbed.taken_at) == (testbed, now)
    assert of_testbed.names.split("\n") == ["web", "db"]
    web, db = unpack(of_testbed.figures, len(GuestFigures._fields))
    assert (web[:2], db[0], isnan(db[1])) == ((50.0, 256.0), 12.5, True)
    assert (of_host.host, of_host.names) == (host, "")


def test_testbed_without_an_active_guest_has_no_row(testbed: Testbed) -> None:
    record({testbed.pk: {}}, {}, timezone.now())

    assert not Sample.objects.exists()


def test_hour_becomes_means_of_its_minutes(testbed: Testbed, hour: datetime) -> None:
    looks = (
        (hour + timedelta(minutes=3, seconds=1), 10.0, nan),
        (hour + timedelta(minutes=3, seconds=31), 20.0, 7.0),
        (hour + timedelta(minutes=59, seconds=59), 90.0, 1.0),
    )
    for moment, web, db in looks:
        guests = {"web": GuestFigures(web), "db": GuestFigures(db)}
        record({testbed.pk: guests}, {}, moment)

    assert fold_samples() == 3

    assert not Sample.objects.exists()
    db, web = SampleHour.objects.order_by("name")
    assert (web.name, web.testbed, web.began_at) == ("web", testbed, hour)
    means = minutes(web, GuestFigures)
    assert len(means) == 60
    assert (means[3][0], means[59][0]) == (15.0, 90.0)
    assert all(isnan(means[n][0]) for n in range(60) if n not in (3, 59))
    assert minutes(db, GuestFigures)[3][0] == 7.0


def test_last_sixty_minutes_stay_look_by_look(testbed: Testbed, hour: datetime) -> None:
    host = Host.objects.get(name="main")
    record({}, {host.pk: HostFigures(load=1.5)}, hour)
    record({}, {host.pk: HostFigures(load=2.5)}, hour + HOUR)
    record({}, {host.pk: HostFigures(load=3.5)}, timezone.now())

    assert (fold_samples(), fold_samples()) == (1, 0)

    assert Sample.objects.count() == 2
    (folded,) = SampleHour.objects.all()
    assert (folded.host, folded.name) == (host, "")
    assert minutes(folded, HostFigures)[0][1] == 1.5


def test_hours_after_a_long_pause_are_folded_together(
    testbed: Testbed, hour: datetime
) -> None:
    for past in (1, 5, 30):
        record({testbed.pk: {"web": GuestFigures(past)}}, {}, hour - past * HOUR)

    assert fold_samples() == 3

    assert SampleHour.objects.count() == 3


def test_hour_that_was_folded_before_stays_as_it_is(
    testbed: Testbed, hour: datetime
) -> None:
    for cpu in (10.0, 90.0):
        record({testbed.pk: {"web": GuestFigures(cpu)}}, {}, hour)
        fold_samples()

    (kept,) = SampleHour.objects.all()
    assert minutes(kept, GuestFigures)[0][0] == 10.0
    assert not Sample.objects.exists()


def test_hours_older_than_a_week_go(testbed: Testbed, hour: datetime) -> None:
    for moment in (hour, timezone.now() - KEPT_FOR - HOUR):
        SampleHour.objects.create(testbed=testbed, name="web", began_at=moment)

    assert forget_samples() == 1

    assert SampleHour.objects.get().began_at == hour


def test_samples_go_with_their_testbed_and_host(
    testbed: Testbed, hour: datetime
) -> None:
    host = Host.objects.get(name="main")
    for moment in (hour, timezone.now()):
        guests = {testbed.pk: {"web": GuestFigures(1.0)}}
        record(guests, {host.pk: HostFigures(1.0)}, moment)
    fold_samples()

    testbed.delete()
    host.delete()

    assert (Sample.objects.count(), SampleHour.objects.count()) == (0, 0)
