"""Snapshots by schedules: taken, skipped with the reason, and the oldest deleted."""

from dataclasses import replace
from datetime import UTC, datetime, time, timedelta

import pytest
from django.contrib.auth.models import User
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone
from django_celery_beat import schedulers
from django_celery_beat.models import PeriodicTask, PeriodicTasks
from django_celery_beat.schedulers import DatabaseScheduler

from orchestration.plan.model import Command
from orchestration.providers.libvirt.snapshots.text import Label
from testbed.celery import app
from testbed.models import Run, SnapshotOrder, SnapshotSchedule, Testbed
from testbed.runs.creation import create_run
from testbed.runs.outcome import finish_run
from testbed.snapshots import schedules
from testbed.snapshots.orders import start_waiting
from testbed.snapshots.schedules import (
    order_deletions,
    remove_schedule,
    set_schedule,
    take,
)
from testbed.testbeds.erasure.protection import protect
from testbed.testbeds.files import delete_testbed
from tests.testbed.confirming import agreed
from tests.testbed.conftest import ShareWith
from tests.testbed.snapshots.rows import TAKEN, put, taken

NIGHTLY = Label("olive", schedule="nightly")


@pytest.fixture(autouse=True)
def lab(generated: Testbed, doors: object) -> Testbed:
    Testbed.objects.update(condition=Testbed.Condition.UP)
    generated.refresh_from_db()
    return generated


def scheduled(lab: Testbed, user: User, **values: object) -> SnapshotSchedule:
    wanted = {"rhythm": "nightly", "keep": 2} | values
    agreed(set_schedule, SnapshotSchedule(testbed=lab, **wanted), user)
    return SnapshotSchedule.objects.get(testbed=lab, rhythm=wanted["rhythm"])


def said(schedule: SnapshotSchedule) -> str:
    schedule.refresh_from_db()
    return schedule.said


def nights(count: int, **changes: object) -> list[object]:
    """Return snapshots of as many nights, the oldest first."""
    values = {"label": NIGHTLY} | changes
    return [taken(f"night-{i}", created_at=TAKEN + i, **values) for i in range(count)]


def seen(lab: Testbed) -> None:
    """Let the last run on snapshots have ended before the last reading."""
    lab.observed_snapshots.update(read_at=timezone.now() + timedelta(seconds=1))


def test_occasion_takes_a_snapshot_of_each_guest_in_the_users_name(
    lab: Testbed, owner: User, caplog: pytest.LogCaptureFixture
):
    schedule = scheduled(lab, owner)

    with caplog.at_level("INFO"):
        run = take(lab.pk, "nightly")

    assert run.asked_by == owner
    name = run.plan["snapshot"]["name"]
    assert name.startswith("nightly-20")
    assert run.title == f"Take snapshot {name} by the nightly schedule"
    assert run.plan["snapshot"]["schedule"] == "nightly"
    tasks = run.instructions.first().tasks.values_list("resource", flat=True)
    assert sorted(tasks) == ["db", "web"]
    assert said(schedule) == ""
    assert schedule.run == run
    assert "act snapshot by olive on lab: Take snapshot nightly-20" in caplog.text


def test_run_of_a_schedule_begins_without_waiting_for_a_client(
    lab: Testbed, owner: User
):
    scheduled(lab, owner)

    run = take(lab.pk, "nightly")

    run.refresh_from_db()
    assert (run.driver, run.next_index) == (Run.Driver.SERVER, 1)


def test_occasion_beside_a_run_is_skipped_and_says_so(lab: Testbed, owner: User):
    schedule = scheduled(lab, owner)
    create_run(lab, owner, Command.UP)

    assert take(lab.pk, "nightly") is None

    assert said(schedule).startswith("Skipped: ")
    assert "has been running up" in said(schedule)
    assert schedule.tried_at is not None
    assert not SnapshotOrder.objects.exists()


def test_occasion_waits_for_that_of_another_schedule(lab: Testbed, owner: User):
    nightly = scheduled(lab, owner)
    weekly = scheduled(lab, owner, rhythm="weekly")
    first = take(lab.pk, "nightly")

    assert take(lab.pk, "weekly") is None
    assert said(weekly) == "Waits for the end of another schedule's run."
    finish_run(first.pk, Run.Status.SUCCEEDED)
    start_waiting()

    second = Run.objects.exclude(pk=first.pk).get()
    assert "by the weekly schedule" in second.title
    assert said(nightly) == ""


def test_testbed_that_is_down_is_skipped(lab: Testbed, owner: User):
    schedule = scheduled(lab, owner)
    Testbed.objects.update(condition=Testbed.Condition.DOWN)

    assert take(lab.pk, "nightly") is None

    assert "Skipped: Testbed olive/lab is not up" in said(schedule)


def test_user_who_lost_the_right_takes_and_deletes_nothing(
    lab: Testbed, share: ShareWith
):
    editor = share(lab, "editor")
    schedule = scheduled(lab, editor)
    put(lab, "web", *nights(5))
    lab.shares.update(role="operator")

    assert take(lab.pk, "nightly") is None
    assert order_deletions() == 0

    assert said(schedule) == "Skipped: a-editor, who set it, may no longer do so."


def test_deactivated_user_takes_nothing(lab: Testbed, owner: User):
    scheduled(lab, owner)
    User.objects.filter(pk=owner.pk).update(is_active=False)

    assert take(lab.pk, "nightly") is None
    assert not Run.objects.exists()


def test_occasion_that_is_sent_twice_is_one(lab: Testbed, owner: User):
    schedule = scheduled(lab, owner)
    run = take(lab.pk, "nightly")
    finish_run(run.pk, Run.Status.SUCCEEDED)

    assert take(lab.pk, "nightly") is None
    assert (said(schedule), schedule.run) == ("", run)
    SnapshotSchedule.objects.update(tried_at=timezone.now() - timedelta(minutes=21))

    assert take(lab.pk, "nightly") is not None


def test_worker_that_dies_leaves_no_run_of_another_occasion(
    lab: Testbed, owner: User, monkeypatch: pytest.MonkeyPatch
):
    schedule = scheduled(lab, owner)
    finish_run(take(lab.pk, "nightly").pk, Run.Status.SUCCEEDED)
    SnapshotSchedule.objects.update(tried_at=timezone.now() - timedelta(minutes=21))

    def die(*args: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(schedules, "create_snapshot", die)
    with pytest.raises(KeyboardInterrupt):
        take(lab.pk, "nightly")

    assert said(schedule) == "Begun by a worker that said no more."
    assert schedule.run is None


def test_occasion_of_a_removed_schedule_does_nothing(lab: Testbed, owner: User):
    scheduled(lab, owner)

    assert remove_schedule(lab, "nightly", owner)
    assert not remove_schedule(lab, "nightly", owner)

    assert take(lab.pk, "nightly") is None
    assert not PeriodicTask.objects.exists()


def test_oldest_above_the_number_are_deleted_and_no_other(lab: Testbed, owner: User):
    scheduled(lab, owner, keep=2)
    by_hand = [taken(f"hand-{i}", created_at=TAKEN - i) for i in range(4)]
    outside = taken("by-virsh", label=Label(), created_at=TAKEN - 9)
    put(lab, "web", *nights(4), *by_hand, outside)
    put(lab, "db", *nights(3), host="host-b")

    assert order_deletions() == 2

    wanted = {one.name: one.guests for one in SnapshotOrder.objects.all()}
    assert wanted == {"night-0": ["db", "web"], "night-1": ["web"]}
    start_waiting()
    run = Run.objects.get()
    assert run.title == "Delete snapshot night-0 by the nightly schedule"
    assert run.asked_by == owner


def test_renamed_snapshot_of_a_schedule_is_the_users(lab: Testbed, owner: User):
    scheduled(lab, owner, keep=2)
    first, *rest = nights(4)
    label = replace(first.label, title="Before the attack")
    put(lab, "web", replace(first, label=label), *rest)

    assert order_deletions() == 1

    assert SnapshotOrder.objects.get().name == "night-1"


def test_removed_schedule_deletes_nothing_any_more(lab: Testbed, owner: User):
    scheduled(lab, owner, keep=1)
    scheduled(lab, owner, rhythm="weekly")
    take(lab.pk, "nightly")
    take(lab.pk, "weekly")
    finish_run(Run.objects.get().pk, Run.Status.SUCCEEDED)
    put(lab, "web", *nights(3))
    seen(lab)
    assert order_deletions() == 2

    remove_schedule(lab, "nightly", owner)

    assert SnapshotOrder.objects.get().schedule == "weekly"


def test_larger_number_saves_those_that_wait_for_deletion(lab: Testbed, owner: User):
    scheduled(lab, owner, keep=1)
    put(lab, "web", *nights(4))
    assert order_deletions() == 3

    scheduled(lab, owner, keep=3)

    assert not SnapshotOrder.objects.exists()
    assert order_deletions() == 1


def test_snapshots_of_another_schedule_stay(lab: Testbed, owner: User):
    scheduled(lab, owner, keep=1)
    put(lab, "web", *nights(3, label=Label("olive", schedule="weekly")))

    assert order_deletions() == 0


def test_deletion_is_tried_once_an_occasion(lab: Testbed, owner: User):
    scheduled(lab, owner, keep=2)
    put(lab, "web", *nights(3))
    assert order_deletions() == 1
    start_waiting()
    assert order_deletions() == 0
    finish_run(Run.objects.get().pk, Run.Status.FAILED)
    seen(lab)
    assert order_deletions() == 0
    later = timezone.now() + timedelta(seconds=1)
    SnapshotSchedule.objects.update(tried_at=later)

    assert order_deletions() == 1


def test_rows_from_before_the_last_run_order_nothing(lab: Testbed, owner: User):
    scheduled(lab, owner, keep=2)
    put(lab, "web", *nights(3))
    run = take(lab.pk, "nightly")
    finish_run(run.pk, Run.Status.SUCCEEDED)

    assert order_deletions() == 0
    seen(lab)
    assert order_deletions() == 1


@pytest.mark.parametrize(("guest", "left"), [("", {}), ("web", {"night-0": ["db"]})])
def test_protected_guests_keep_theirs(
    lab: Testbed, owner: User, guest: str, left: dict[str, list[str]]
):
    scheduled(lab, owner, keep=2)
    put(lab, "web", *nights(3))
    put(lab, "db", *nights(3), host="host-b")
    protect(lab, owner, guest)

    order_deletions()

    assert {one.name: one.guests for one in SnapshotOrder.objects.all()} == left


def test_number_of_queries_does_not_grow_with_the_guests(lab: Testbed, owner: User):
    scheduled(lab, owner, keep=1)
    counts = []
    for guests in (["web"], ["web", *(f"g{i}" for i in range(9))]):
        for guest in guests:
            put(lab, guest, *nights(2))
        SnapshotOrder.objects.all().delete()
        with CaptureQueriesContext(connection) as queries:
            assert order_deletions() == 1
        counts.append(len(queries))

    assert counts[0] == counts[1]


def test_schedule_is_changed_in_place_and_ends_with_its_testbed(
    lab: Testbed, owner: User, admin: User
):
    first = scheduled(lab, owner)
    take(lab.pk, "nightly")
    second = scheduled(lab, admin, keep=9, at=time(4, 30))

    assert second.pk == first.pk
    assert (second.keep, second.set_by, second.run) == (9, admin, Run.objects.get())
    assert (second.crontab.hour, second.crontab.minute) == ("4", "30")
    finish_run(Run.objects.get().pk, Run.Status.SUCCEEDED)
    Testbed.objects.update(condition=Testbed.Condition.DOWN)
    lab.refresh_from_db()
    before = PeriodicTasks.last_change()
    agreed(delete_testbed, lab, owner)

    assert not PeriodicTask.objects.exists()
    assert PeriodicTasks.last_change() > before


def test_time_that_there_is_twice_can_be_set(lab: Testbed, owner: User):
    first = scheduled(lab, owner).crontab
    first.pk = None
    first.save()

    assert scheduled(lab, owner, keep=5).keep == 5


@pytest.mark.parametrize(
    ("values", "words", "at"),
    [
        ({"rhythm": "hourly", "every_h": 6}, "every 6 hours", (None, 0)),
        ({"rhythm": "hourly", "every_h": 1}, "every hour", (None, 0)),
        (
            {"rhythm": "hourly", "every_h": 9},
            "every 9 hours from midnight (00, 09, 18)",
            (None, 0),
        ),
        ({"at": time(2, 30)}, "every night at 02:30 UTC", (2, 30)),
        (
            {"rhythm": "weekly", "weekday": 1, "at": time(3)},
            "every Monday at 03:00 UTC",
            (3, 0),
        ),
    ],
)
def test_next_occasion_is_known(
    lab: Testbed,
    owner: User,
    values: dict[str, object],
    words: str,
    at: tuple[int | None, int],
):
    schedule = scheduled(lab, owner, **values)

    next_at = schedule.next_at.astimezone(UTC) + timedelta(seconds=1)

    assert schedule.when == words
    assert next_at > datetime.now(UTC)
    assert next_at.minute == at[1]
    assert at[0] in (None, next_at.hour)
    assert at[0] is not None or next_at.hour % values["every_h"] == 0
    assert values.get("weekday") is None or next_at.strftime("%A") == "Monday"


def test_beat_has_the_entries_of_the_settings_and_of_users(
    lab: Testbed, owner: User, settings: object, monkeypatch: pytest.MonkeyPatch
):
    # Beat would close the connection of the test's transaction.
    monkeypatch.setattr(schedulers, "close_old_connections", lambda: None)
    scheduled(lab, owner, rhythm="hourly", every_h=1)

    beat = DatabaseScheduler(app=app)

    entries = beat.schedule
    own = entries.pop(f"hourly snapshots of testbed {lab.pk}")
    assert entries.keys() == settings.CELERY_BEAT_SCHEDULE.keys()
    sweep = entries["sweep"]
    assert sweep.options["expires"] == settings.SWEEP_EVERY_S
    assert (own.task, own.args) == ("testbed.tasks.snapshots.take", [lab.pk, "hourly"])
    assert own.task in app.tasks
    model = PeriodicTask.objects.get(pk=own.model.pk)
    model.last_run_at = timezone.now() - timedelta(hours=2)
    assert beat.Entry(model, app=app).is_due().is_due
