"""Schedules on the page of a testbed's snapshots: set, shown, changed, removed."""

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from orchestration.providers.libvirt.snapshots.text import Label
from testbed.models import Run, SnapshotSchedule, Testbed
from testbed.snapshots.schedules import take
from tests.testbed.confirming import answered
from tests.testbed.conftest import ShareWith
from tests.testbed.reading import squeezed, visible
from tests.testbed.snapshots.rows import put, taken

PAGE = "/testbeds/olive/lab/snapshots/"
SET = "/testbeds/olive/lab/snapshots/schedules/"


@pytest.fixture(autouse=True)
def deployed(generated: Testbed, doors: object) -> Testbed:
    generated.condition = Testbed.Condition.UP
    generated.observed_at = timezone.now()
    generated.save()
    return generated


def words(client: Client) -> str:
    answer = client.get(PAGE)
    assert answer.status_code == 200
    return visible(squeezed(answer.content.decode()))


def test_schedule_is_set_and_shown_with_its_user_and_its_next_time(browser: Client):
    before = words(browser)
    sent = {"rhythm": "weekly", "weekday": "6", "at": "03:15", "keep": "5"}

    answer = browser.post(SET, sent)

    assert before.count("Not set.") == 3
    assert answer["Location"] == f"{PAGE}#schedules"
    schedule = SnapshotSchedule.objects.get()
    assert (schedule.weekday, schedule.keep) == (6, 5)
    after = words(browser)
    assert "Every Saturday at 03:15 UTC, the last 5 stay. Next" in after
    assert "In the name of olive, since" in after
    assert "Snapshots are taken every Saturday at 03:15 UTC." in after
    assert after.count("Not set.") == 2


def test_last_occasion_is_shown_with_its_run_or_its_reason(
    browser: Client, deployed: Testbed
):
    browser.post(SET, {"rhythm": "hourly", "every_h": "12", "keep": "3"})
    take(deployed.pk, "hourly")
    run = Run.objects.get()
    assert f"run {run.pk}" in words(browser)
    SnapshotSchedule.objects.update(run=None, said="Skipped: a run was on.")

    assert "Skipped: a run was on." in words(browser)


def test_schedule_is_changed_and_removed(browser: Client):
    browser.post(SET, {"rhythm": "hourly", "every_h": "12", "keep": "3"})
    browser.post(SET, {"rhythm": "hourly", "every_h": "4", "keep": "8"})
    changed = SnapshotSchedule.objects.get()
    browser.post(SET, {"rhythm": "hourly", "remove": "1"})

    assert (changed.every_h, changed.keep) == (4, 8)
    assert not SnapshotSchedule.objects.exists()
    assert "No more hourly snapshots are taken." in words(browser)


def test_snapshots_above_the_number_are_named_before_it_is_set(
    browser: Client, deployed: Testbed
):
    nights = [
        taken(f"night-{i}", label=Label("olive", schedule="nightly"), created_at=i)
        for i in range(3)
    ]
    put(deployed, "web", *nights, taken("by-hand"))
    sent = {"rhythm": "nightly", "at": "04:00", "keep": "1"}

    question = browser.post(SET, sent)
    program = browser.post(SET, sent, headers={"Accept": "application/json"})
    assert not SnapshotSchedule.objects.exists()
    answer = answered(browser, question)

    listed = visible(squeezed(question.content.decode()))
    assert "Keep the last 1 nightly snapshots?" in listed
    assert "night-0 on main snapshot of web" in listed
    assert "night-2" not in listed
    assert "by-hand" not in listed
    assert program.status_code == 428
    assert [one["name"] for one in program.json()["erases"]["losses"]] == [
        "night-0",
        "night-1",
    ]
    assert answer["Location"] == f"{PAGE}#schedules"
    schedule = SnapshotSchedule.objects.get()
    assert (schedule.keep, schedule.at.hour) == (1, 4)


@pytest.mark.parametrize(
    ("sent", "sentence"),
    [
        ({}, "The rhythm of the schedule is not right."),
        ({"rhythm": "daily"}, "The rhythm of the schedule is not right."),
        ({"rhythm": "hourly", "every_h": "24"}, "The hours of the schedule"),
        ({"rhythm": "nightly", "at": "25:00"}, "The time of the schedule"),
        ({"rhythm": "weekly", "weekday": "7"}, "The day of the schedule"),
        ({"rhythm": "nightly", "keep": "0"}, "The number to keep of the schedule"),
        ({"rhythm": "nightly", "keep": "100"}, "The number to keep of the schedule"),
    ],
)
def test_wrong_schedule_is_refused_with_a_sentence(
    browser: Client, sent: dict[str, str], sentence: str
):
    answer = browser.post(SET, sent)

    assert answer.status_code == 422
    assert sentence in visible(answer.content.decode())
    assert not SnapshotSchedule.objects.exists()


def test_only_editors_set_schedules_and_all_see_them(
    client: Client, browser: Client, deployed: Testbed, share: ShareWith
):
    browser.post(SET, {"rhythm": "nightly", "at": "02:00", "keep": "3"})
    client.force_login(share(deployed, "operator"))

    page = client.get(PAGE).content.decode()

    assert "Every night at 02:00 UTC" in visible(page)
    assert SET not in page
    assert client.post(SET, {"rhythm": "nightly", "remove": "1"}).status_code == 403


def test_program_gets_the_schedules(browser: Client, owner: User):
    sent = {"rhythm": "nightly", "at": "02:00", "keep": "3"}

    (nightly,) = browser.post(SET, sent, headers={"Accept": "application/json"}).json()[
        "schedules"
    ]

    assert (nightly["rhythm"], nightly["keep"], nightly["set_by"]) == (
        "nightly",
        3,
        "olive",
    )
    assert nightly["next_at"]
