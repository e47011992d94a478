"""The client's commands about reservations, against a real server."""

from datetime import UTC, datetime, timedelta

import pytest
from django.contrib.auth.models import User

from testbed.models import Host, Reservation
from tests.testbed.client.conftest import At
from tests.testbed.conftest import HOUR, Reserved

pytestmark = pytest.mark.django_db(transaction=True)
Capture = pytest.CaptureFixture[str]


@pytest.fixture(autouse=True)
def lab(hosts: tuple[Host, Host], doors: object) -> None:
    """Two hosts of 8 vCPUs, and no messages to workers."""
    Host.objects.update(vcpu_overcommit=1)


def make(at: At, *more: str, begin: datetime) -> int:
    times = [f"{at:%Y-%m-%dT%H:%M}" for at in (begin, begin + HOUR)]
    amount = ("--vcpus", "2", "--memory-mib", "2048", "--utc")
    return at("reservation", "make", *times, *amount, *more)


@pytest.fixture
def begin() -> datetime:
    """The next hour, in UTC."""
    return datetime.now(UTC).replace(minute=0) + timedelta(hours=2)


def test_reservation_is_made_listed_and_cancelled(
    at: At, begin: datetime, capsys: Capture
) -> None:
    wish = ("--host", "host-b", "--purpose", "lesson 3")
    assert make(at, *wish, begin=begin) == 0

    row = Reservation.objects.get()
    until = begin + HOUR
    shown = (
        f"{row.pk:>5}  host-b, 2 vCPUs and 2 GiB of memory, {begin:%Y-%m-%d %H:%M} to "
        f"{until:%Y-%m-%d %H:%M} UTC, {{}}, for olive: lesson 3\n"
    )
    assert capsys.readouterr().out == shown.format("to come")
    assert at("reservation", "list", "--week", f"{begin:%G-W%V}") == 0
    assert capsys.readouterr().out == shown.format("to come")
    assert at("reservation", "cancel", str(row.pk)) == 0
    assert capsys.readouterr().out == shown.format("cancelled")


def test_all_pages_of_a_week_are_listed_and_of_others_the_time_alone(
    at: At, member: User, reserved: Reserved, capsys: Capture
) -> None:
    for _ in range(60):
        reserved(member, "host-b", purpose="secret")

    assert at("reservation", "list") == 0

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 60
    assert all(line.endswith("current, for another user") for line in lines)


def test_refusal_is_printed(at: At, begin: datetime, capsys: Capture) -> None:
    assert make(at, "--for", "ada", begin=begin) == 1
    assert "ada is not one of the available choices" in capsys.readouterr().err
    assert make(at, begin=begin - 9 * HOUR) == 1
    assert "is in the past" in capsys.readouterr().err


def test_reservation_of_another_user_is_not_cancelled(
    at: At, member: User, reserved: Reserved, capsys: Capture
) -> None:
    row = reserved(member, "host-b")

    assert at("reservation", "cancel", str(row.pk)) == 1

    assert f"There is no reservation {row.pk} of yours." in capsys.readouterr().err
    assert Reservation.objects.get().cancelled_at is None
