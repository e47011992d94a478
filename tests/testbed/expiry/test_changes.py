"""An end: set by Up, cleared by Down, extended, bounded, and chosen."""

from datetime import timedelta

import pytest
from django.conf import LazySettings
from django.contrib.auth.models import User
from django.utils import timezone

from orchestration.errors import StateError, TestbedBusy
from orchestration.plan.execution import Execution, Form
from orchestration.plan.model import Command
from testbed.access.permissions import NotAllowed
from testbed.environment import ExpiryTimes
from testbed.expiry.changes import (
    ExpiryRefused,
    choose,
    extend,
    next_end,
    wanted_end,
)
from testbed.models import Entry, Expiry, Run, Testbed
from testbed.models.expiry import database_now
from testbed.reservations.moments import NoMoment
from testbed.runs.creation import create_execution, create_run
from testbed.runs.outcome import finish_run
from tests.testbed.conftest import MakeRun
from tests.testbed.expiry.conftest import HOUR, NOW, TIMES, end_of


def test_clock_is_that_of_the_database(db: None):
    assert abs(database_now() - timezone.now()) < timedelta(seconds=5)


def test_up_sets_the_usual_end(make_run: MakeRun, testbed: Testbed):
    finish_run(make_run().pk, Run.Status.SUCCEEDED)

    left = end_of(testbed).expires_at - database_now()
    assert 71 * HOUR < left <= 72 * HOUR


def test_lab_without_a_usual_end_sets_none(
    make_run: MakeRun, testbed: Testbed, settings: object
):
    settings.EXPIRY = TIMES._replace(usual=timedelta())

    finish_run(make_run().pk, Run.Status.SUCCEEDED)

    assert not Expiry.objects.exists()


def test_up_that_left_guests_running_sets_the_end_too(testbed: Testbed):
    Expiry.objects.settle(testbed, Testbed.Condition.PARTIAL, NOW)

    assert end_of(testbed).expires_at == NOW + 72 * HOUR


def test_further_runs_leave_the_end(lab: Testbed, owner: User):
    Expiry.objects.create(testbed=lab, expires_at=NOW)

    command = Execution(Form.COMMAND, "@all", words=("uptime",))
    finish_run(create_execution(lab, owner, command).pk, Run.Status.SUCCEEDED)
    finish_run(create_run(lab, owner, Command.UP).pk, Run.Status.SUCCEEDED)

    assert end_of(lab).expires_at == NOW


def test_down_clears_the_end_and_keeps_the_choice(
    lab: Testbed, owner: User, due: Expiry
):
    choose(lab, owner, "stop", NOW)

    finish_run(create_run(lab, owner, Command.DOWN).pk, Run.Status.SUCCEEDED)

    found = end_of(lab)
    assert (found.expires_at, found.warned_at, found.action) == (None, None, "stop")


def test_down_that_failed_leaves_the_end(lab: Testbed, owner: User, due: Expiry):
    finish_run(create_run(lab, owner, Command.DOWN).pk, Run.Status.FAILED)

    assert end_of(lab).expires_at == NOW


def test_one_click_adds_the_usual_time_up_to_the_longest():
    assert next_end(None, NOW) == NOW + 72 * HOUR
    near = Expiry(expires_at=NOW + HOUR)
    assert next_end(near, NOW) == NOW + 73 * HOUR
    far = Expiry(expires_at=NOW + 200 * HOUR)
    assert next_end(far, NOW) == NOW + 240 * HOUR


def test_extension_announces_anew_and_forgets_failures(
    lab: Testbed, owner: User, due: Expiry
):
    Expiry.objects.update(tries=3, said="failed", is_stored=True)

    extend(lab, owner, NOW + 100 * HOUR, NOW)

    found = end_of(lab)
    assert found.expires_at == NOW + 100 * HOUR
    assert (found.warned_at, found.tries, found.said) == (None, 0, "")
    assert not found.is_stored
    entry = Entry.objects.get(act="extend")
    assert entry.user == "olive"
    assert entry.what == "it ends at 2 Dec 2026 16:00 UTC"


def test_two_browsers_that_extend_at_once_leave_the_later_end(
    lab: Testbed, owner: User, admin: User, due: Expiry
):
    extend(lab, owner, NOW + 100 * HOUR, NOW)
    extend(lab, admin, NOW + 100 * HOUR, NOW)

    with pytest.raises(ExpiryRefused, match=r"which is later than 2 Dec 2026 15:00"):
        extend(lab, owner, NOW + 99 * HOUR, NOW)
    assert end_of(lab).expires_at == NOW + 100 * HOUR


def test_extension_of_an_idle_testbed_shortens_nothing(lab: Testbed, owner: User):
    Expiry.objects.create(
        testbed=lab, expires_at=NOW + 100 * HOUR, idle_at=NOW + 5 * HOUR
    )

    assert next_end(end_of(lab), NOW) == NOW + 172 * HOUR
    with pytest.raises(ExpiryRefused):
        extend(lab, owner, NOW + 50 * HOUR, NOW)
    extend(lab, owner, NOW + 100 * HOUR, NOW)

    assert end_of(lab).idle_at is None
    assert end_of(lab).extended_at == NOW


@pytest.mark.parametrize(
    ("form", "words"),
    [
        ({"until": "2026-11-28T11:00"}, "28 Nov 2026 11:00 UTC is in the past."),
        ({"until": "2026-11-28T12:00"}, "is in the past"),
        ({"until": "2026-12-09T12:00"}, "is more than 240 hours from now"),
        ({"until": "9999-12-31T23:59:59Z"}, "is more than 240 hours from now"),
        ({"until": "0001-01-01T00:00:00+14:00"}, "is no date and time"),
        ({"until": "2026-02-31T12:00"}, "is no date and time"),
        ({"until": "soon"}, "`soon` is no date and time"),
        ({"until": ""}, "is no date and time"),
        ({"until": "\0" * 900}, "is no date and time"),
        ({"hours": "nan"}, "`nan` is no number of hours from above 0 to 240"),
        ({"hours": "inf"}, "is no number of hours"),
        ({"hours": "-1"}, "is no number of hours"),
        ({"hours": "0"}, "is no number of hours"),
        ({"hours": "1e308"}, "is no number of hours"),
        ({"hours": "9" * 500}, "is no number of hours"),
        ({"hours": "241"}, "is no number of hours"),
        ({"hours": "many"}, "is no number of hours"),
        ({}, "No end is named"),
    ],
)
def test_end_that_cannot_be_is_refused_in_a_sentence(
    lab: Testbed, owner: User, form: dict[str, str], words: str
):
    with pytest.raises((ExpiryRefused, NoMoment), match=words) as refused:
        extend(lab, owner, wanted_end(form, None, NOW), NOW)
    assert refused.value.hint
    assert len(refused.value.message) < 120


@pytest.mark.parametrize(
    ("until", "words"),
    [
        ("2027-03-28T02:30", "There is no 28 Mar 2027 02:30 in Europe/Berlin"),
        ("2026-10-25T02:30", "25 Oct 2026 02:30 comes twice in Europe/Berlin"),
    ],
)
def test_end_within_a_change_of_clocks_is_refused(
    settings: LazySettings, until: str, words: str
):
    settings.TIME_ZONE = "Europe/Berlin"

    with pytest.raises(NoMoment, match=words) as refused:
        wanted_end({"until": until}, None, NOW)

    assert "another time" in refused.value.hint


def test_hours_and_moments_are_read(settings: object):
    assert wanted_end({"hours": "1.5"}, None, NOW) == NOW + 1.5 * HOUR
    assert wanted_end({"until": "2026-11-28T14:00+02:00"}, None, NOW) == NOW
    assert wanted_end({"until": "2026-11-28T12:00"}, None, NOW) == NOW
    assert wanted_end({"extend": ""}, None, NOW) == NOW + 72 * HOUR


def test_testbed_that_is_not_up_has_no_end(testbed: Testbed, owner: User):
    with pytest.raises(StateError, match="is not up: it has no end"):
        extend(testbed, owner, NOW + HOUR, NOW)


def test_testbed_that_is_going_down_is_not_extended(
    lab: Testbed, owner: User, due: Expiry
):
    create_run(lab, owner, Command.DOWN)

    with pytest.raises(TestbedBusy, match="has been running down"):
        extend(lab, owner, NOW + 30 * HOUR, NOW)


def test_deleted_testbed_is_not_extended(lab: Testbed, owner: User):
    copy = Testbed.objects.get(pk=lab.pk)
    lab.delete()

    with pytest.raises(StateError, match="was deleted"):
        extend(copy, owner, NOW + HOUR, NOW)


def test_lab_admins_alone_let_a_testbed_never_end(
    lab: Testbed, owner: User, admin: User, due: Expiry
):
    with pytest.raises(NotAllowed, match="Only lab admins"):
        choose(lab, owner, "keep", NOW)
    choose(lab, admin, "keep", NOW)

    found = end_of(lab)
    assert (found.action, found.expires_at, found.warned_at) == ("keep", None, None)
    Expiry.objects.settle(lab, Testbed.Condition.UP, NOW)
    assert end_of(lab).expires_at is None
    with pytest.raises(ExpiryRefused, match="never ends"):
        extend(lab, admin, NOW + HOUR, NOW)


def test_another_choice_than_never_sets_the_usual_end(
    lab: Testbed, owner: User, admin: User
):
    choose(lab, admin, "keep", NOW)
    choose(lab, owner, "stop", NOW)

    assert end_of(lab).expires_at == NOW + 72 * HOUR
    acts = Entry.objects.filter(act="extend").order_by("pk")
    assert [entry.what for entry in acts] == [
        "at its end: never end",
        "at its end: stop",
    ]


def test_unknown_choice_is_refused(lab: Testbed, owner: User):
    with pytest.raises(ExpiryRefused, match="`erase` is no end of a testbed"):
        choose(lab, owner, "erase", NOW)


def test_times_are_on_when_something_ends_by_itself():
    nought = timedelta()
    assert TIMES.is_on
    assert not ExpiryTimes(nought, HOUR, HOUR, nought).is_on
