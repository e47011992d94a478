"""Ends are announced in time, whatever the clock does, and begun only afterwards."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.core import mail
from django.utils import timezone

from orchestration.plan.model import Command
from testbed.expiry.changes import choose, extend
from testbed.expiry.sweeping import expire_once
from testbed.models import Expiry, Run, Testbed
from testbed.models.expiry import database_now
from testbed.notifications.delivery import deliver_once
from tests.testbed.expiry.conftest import HOUR, NOW, TIMES, end_of

STEP = timedelta(seconds=30)


@pytest.fixture
def ahead(lab: Testbed) -> Expiry:
    """An end that is due in 30 hours."""
    return Expiry.objects.create(testbed=lab, expires_at=NOW + 30 * HOUR)


def test_end_is_announced_the_warning_time_before(lab: Testbed, ahead: Expiry):
    assert expire_once(NOW + 5 * HOUR)["warned"] == 0
    assert expire_once(NOW + 6 * HOUR)["warned"] == 1
    assert expire_once(NOW + 6 * HOUR + STEP)["warned"] == 0

    found = end_of(lab)
    assert found.warned_at == NOW + 6 * HOUR
    assert found.ends_at == NOW + 30 * HOUR


def test_end_acts_when_it_was_announced_long_enough(lab: Testbed, due: Expiry):
    assert expire_once(NOW - STEP)["begun"] == 0
    assert expire_once(NOW)["begun"] == 1


def test_service_that_was_off_at_the_end_announces_first(lab: Testbed, ahead: Expiry):
    late = NOW + 100 * HOUR

    assert expire_once(late)["warned"] == 1
    assert expire_once(late + STEP)["begun"] == 0
    assert end_of(lab).ends_at == late + 24 * HOUR


def swept(until: timedelta, since: timedelta) -> int:
    """Sweep every five minutes, as beat does twice a minute; return what was begun."""
    at, begun = since, 0
    while at <= until:
        begun += expire_once(NOW + at)["begun"]
        at += timedelta(minutes=5)
    return begun


def test_clock_that_jumps_ahead_shortens_no_warning(lab: Testbed, ahead: Expiry):
    assert swept(8 * HOUR, 6 * HOUR) == 0  # announced two hours ago

    expire_once(NOW + 1000 * HOUR)

    assert Run.objects.count() == 0
    assert end_of(lab).ends_at - (NOW + 1000 * HOUR) == 22 * HOUR
    assert swept(1021.9 * HOUR, 1000 * HOUR) == 0
    assert swept(1022.1 * HOUR, 1021.9 * HOUR) == 1


def test_clock_that_jumps_back_keeps_the_warning_and_bounds_the_end(
    lab: Testbed, ahead: Expiry
):
    swept(8 * HOUR, 6 * HOUR)

    expire_once(NOW - 1000 * HOUR)

    found = end_of(lab)
    assert found.warned_at == NOW - 1002 * HOUR
    assert found.expires_at == NOW - 760 * HOUR  # the longest from then
    assert expire_once(NOW - 1000 * HOUR + STEP)["warned"] == 0


def test_time_without_sweeps_is_no_part_of_the_warning(lab: Testbed, ahead: Expiry):
    swept(7 * HOUR, 6 * HOUR)

    assert expire_once(NOW + 31 * HOUR)["begun"] == 0
    assert end_of(lab).ends_at == NOW + 54 * HOUR


def test_lowered_longest_bounds_ends_and_announces_them(
    lab: Testbed, ahead: Expiry, settings: object
):
    settings.EXPIRY = TIMES._replace(usual=2 * HOUR, longest=2 * HOUR, warning=HOUR)

    expire_once(NOW)

    assert end_of(lab).expires_at == NOW + 2 * HOUR


def test_testbeds_that_were_up_before_get_an_end(lab: Testbed):
    assert expire_once(database_now())["set"] == 1
    assert end_of(lab).expires_at is not None


def test_testbed_that_never_ends_gets_none(lab: Testbed, admin: User):
    choose(lab, admin, "keep", NOW)

    assert expire_once(NOW + 10_000 * HOUR) == dict.fromkeys(
        ("set", "clock", "warned", "begun"), 0
    )


def test_end_of_a_testbed_that_went_down_otherwise_is_cleared(
    lab: Testbed, due: Expiry
):
    Testbed.objects.update(condition=Testbed.Condition.DOWN)

    assert expire_once(NOW)["begun"] == 0
    assert end_of(lab).expires_at is None


def test_warning_is_mailed_once_to_the_owner(
    lab: Testbed, owner: User, ahead: Expiry, settings: object
):
    settings.EMAIL_HOST = "mail.example"
    settings.CSRF_TRUSTED_ORIGINS = ["https://lab.example"]
    User.objects.filter(pk=owner.pk).update(email="olive@lab.example")

    for step in range(3):
        expire_once(NOW + 6 * HOUR + step * STEP)
    deliver_once(timezone.now())

    (sent,) = mail.outbox
    assert sent.to == ["olive@lab.example"]
    assert sent.subject == "Testbed lab ends at 29 Nov 2026 18:00 UTC"
    assert "https://lab.example/testbeds/olive/lab/" in sent.body
    assert "A snapshot of all guests is taken" in sent.body


def test_extended_end_is_announced_and_mailed_again(
    lab: Testbed, owner: User, ahead: Expiry, settings: object
):
    settings.EMAIL_HOST = "mail.example"
    User.objects.filter(pk=owner.pk).update(email="olive@lab.example")
    expire_once(NOW + 6 * HOUR)

    extend(lab, owner, NOW + 60 * HOUR, NOW + 7 * HOUR)
    expire_once(NOW + 7 * HOUR)
    assert deliver_once(timezone.now()) == 1
    expire_once(NOW + 36 * HOUR)

    assert deliver_once(timezone.now()) == 1


def test_warning_for_an_owner_who_left_goes_to_lab_admins(
    lab: Testbed, owner: User, admin: User, ahead: Expiry, settings: object
):
    settings.EMAIL_HOST = "mail.example"
    User.objects.filter(pk=owner.pk).update(email="olive@lab.example", is_active=False)
    User.objects.filter(pk=admin.pk).update(email="ada@lab.example")

    expire_once(NOW + 6 * HOUR)
    deliver_once(timezone.now())

    assert [sent.to for sent in mail.outbox] == [["ada@lab.example"]]


def test_lab_without_a_mail_server_warns_on_the_page_alone(
    lab: Testbed, owner: User, ahead: Expiry
):
    User.objects.filter(pk=owner.pk).update(email="olive@lab.example")

    assert expire_once(NOW + 6 * HOUR)["warned"] == 1
    assert deliver_once(timezone.now()) == 0
    assert mail.outbox == []


@pytest.mark.parametrize("email", ["", "two\nlines@lab.example"])
def test_address_that_is_none_stops_nothing(
    lab: Testbed, owner: User, ahead: Expiry, settings: object, email: str
):
    settings.EMAIL_HOST = "mail.example"
    User.objects.filter(pk=owner.pk).update(email=email)

    assert expire_once(NOW + 6 * HOUR)["warned"] == 1
    assert deliver_once(timezone.now()) == 0
    assert mail.outbox == []


def test_deleted_testbed_takes_its_end_with_it(lab: Testbed, due: Expiry):
    lab.delete()

    assert expire_once(NOW)["begun"] == 0
    assert not Expiry.objects.exists()


def test_testbed_of_a_deactivated_owner_ends_all_the_same(
    lab: Testbed, owner: User, due: Expiry
):
    User.objects.filter(pk=owner.pk).update(is_active=False)
    choose(lab, owner, "stop", NOW)

    assert expire_once(NOW)["begun"] == 1
    assert Run.objects.get().command == Command.DOWN
