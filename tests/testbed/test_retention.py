"""Old runs lose their logs, in small steps, and everything else stays."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from testbed.models import Allowance, Cleanup, Event, Run, Testbed
from testbed.retention import forget_old_cleanups, remove_old_logs
from testbed.tasks import keep_house_once

pytestmark = pytest.mark.database

PLAN = {"command": "up", "options": {}, "instructions": []}


@pytest.fixture(autouse=True)
def thirty_days(settings: object) -> None:
    settings.KEEP_RUNS_DAYS = 30


def ended(testbed: Testbed, owner: User, days: int, *, events: int = 5) -> Run:
    """A run that ended so many days ago, with a log."""
    run = Run.objects.create(
        testbed=testbed,
        command="up",
        plan=PLAN,
        asked_by=owner,
        status="succeeded",
        message="All 2 guests are up.",
        last_seq=events,
        ended_at=timezone.now() - timedelta(days=days),
    )
    Event.objects.bulk_create(
        Event(run=run, seq=seq, at=timezone.now(), kind="log", text=f"line {seq}")
        for seq in range(1, events + 1)
    )
    return run


def test_old_run_loses_its_log_and_keeps_how_it_went(
    testbed: Testbed, owner: User
) -> None:
    old, young = ended(testbed, owner, 31), ended(testbed, owner, 29)
    ended(testbed, owner, 0)
    old.instructions.create(index=0, kind="init", stage="Prepare", title="Begin")

    assert remove_old_logs() == 1

    old.refresh_from_db()
    young.refresh_from_db()
    assert old.log_removed_at is not None
    assert young.log_removed_at is None
    assert (old.events.count(), young.events.count()) == (0, 5)
    assert (old.plan, young.plan) == ({}, PLAN)
    assert old.message == "All 2 guests are up."
    assert old.instructions.count() == 1
    assert remove_old_logs() == 0


def test_old_run_loses_what_guests_answered_and_sent(
    testbed: Testbed, owner: User
) -> None:
    old = ended(testbed, owner, 31)
    ended(testbed, owner, 0)
    folders = (testbed.project.answers(old.pk), testbed.project.fetched(old.pk))
    for folder in folders:
        (folder / "web").mkdir(parents=True)

    remove_old_logs()

    assert [folder.exists() for folder in folders] == [False, False]


def test_last_run_of_each_testbed_keeps_its_log(testbed: Testbed, owner: User) -> None:
    other = Testbed.objects.create(owner=owner, slug="other", number=8)
    ended(testbed, owner, 90)
    lasts = [ended(testbed, owner, 80), ended(other, owner, 99)]

    assert remove_old_logs() == 1

    assert [run.events.count() for run in lasts] == [5, 5]


@pytest.mark.parametrize("status", Run.ACTIVE)
def test_run_that_is_on_keeps_its_log(
    testbed: Testbed, owner: User, status: str
) -> None:
    run = ended(testbed, owner, 90)
    Run.objects.filter(pk=run.pk).update(status=status)
    ended(testbed, owner, 0)

    assert remove_old_logs() == 0
    assert run.events.count() == 5


def test_zero_days_keep_logs_for_ever(
    testbed: Testbed, owner: User, settings: object
) -> None:
    settings.KEEP_RUNS_DAYS = 0
    run = ended(testbed, owner, 9999)
    ended(testbed, owner, 0)

    assert remove_old_logs() == 0
    assert run.events.count() == 5


def test_long_log_goes_in_bounded_steps_and_is_called_removed_at_the_end(
    testbed: Testbed, owner: User
) -> None:
    run = ended(testbed, owner, 40, events=35)
    ended(testbed, owner, 0)
    left = []
    for _ in range(10):
        remove_old_logs(chunk_events=10, chunks=2)
        run.refresh_from_db()
        left.append((run.events.count(), run.log_removed_at is not None))
        if run.log_removed_at:
            break

    assert left == [(15, False), (0, False), (0, True)]


def test_upkeep_says_how_many_logs_it_removed(testbed: Testbed, owner: User) -> None:
    ended(testbed, owner, 40)
    ended(testbed, owner, 0)

    assert keep_house_once()["logs of old runs removed"] == 1


def test_records_of_deletions_go_when_they_are_as_old(owner: User) -> None:
    now = timezone.now()
    for days, name in ((31, "old"), (29, "young")):
        ended_at = now - timedelta(days=days)
        cleanup = Cleanup.objects.create(
            name=name, asked_by=owner, status="succeeded", ended_at=ended_at
        )
        cleanup.items.create(host="main", kind="bridge", name="t1-x")
    Cleanup.objects.create(name="waiting", asked_by=owner)

    assert forget_old_cleanups() == 1

    assert {c.name for c in Cleanup.objects.all()} == {"young", "waiting"}


def large(testbed: Testbed, owner: User, mib: int, status: str = "succeeded") -> Run:
    run = ended(testbed, owner, 1)
    Run.objects.filter(pk=run.pk).update(log_bytes=mib * 1024**2, status=status)
    return run


def kept(*runs: Run) -> list[bool]:
    """Say of each run whether it has its log."""
    return [Run.objects.get(pk=run.pk).log_removed_at is None for run in runs]


def test_oldest_logs_of_a_testbed_above_its_limit_go_first(
    testbed: Testbed, owner: User
) -> None:
    Allowance.objects.create(user=owner, testbed_log_mib=5)
    runs = [large(testbed, owner, 2) for _ in range(4)]

    assert remove_old_logs() == 2
    assert remove_old_logs() == 0

    assert kept(*runs) == [False, False, True, True]
    assert Run.objects.get(pk=runs[0].pk).log_bytes == 0


def test_last_log_of_a_testbed_stays_however_large_it_is(
    testbed: Testbed, owner: User
) -> None:
    Allowance.objects.create(user=owner, testbed_log_mib=1)
    runs = [large(testbed, owner, 2), large(testbed, owner, 9)]

    remove_old_logs()

    assert kept(*runs) == [False, True]


def test_logs_of_all_testbeds_of_a_user_are_limited_together(
    testbed: Testbed, owner: User, member: User
) -> None:
    Allowance.objects.create(user=owner, testbed_log_mib=9, user_log_mib=4)
    other = Testbed.objects.create(owner=owner, slug="other", number=8)
    theirs = Testbed.objects.create(owner=member, slug="theirs", number=9)
    runs = [large(other, owner, 3), large(theirs, member, 9), large(testbed, owner, 3)]

    remove_old_logs()

    assert kept(*runs) == [False, True, True]


def test_log_of_an_active_run_counts_and_stays(testbed: Testbed, owner: User) -> None:
    Allowance.objects.create(user=owner, testbed_log_mib=3, user_log_mib=3)
    other = Testbed.objects.create(owner=owner, slug="other", number=8)
    runs = [
        large(testbed, owner, 9, status="running"),
        large(other, owner, 1),
        large(other, owner, 1),
    ]

    remove_old_logs()

    assert kept(*runs) == [True, False, True]


def test_pages_of_a_run_say_that_its_log_went_for_a_limit(
    testbed: Testbed, owner: User, client: Client
) -> None:
    Allowance.objects.create(user=owner, testbed_log_mib=3)
    run = large(testbed, owner, 2)
    large(testbed, owner, 2)
    client.force_login(owner)

    remove_old_logs()

    words = "(the logs of testbed lab took 4.0 MiB; 3.0 MiB are allowed)"
    assert words in client.get(f"/runs/{run.pk}/").content.decode()
    assert words in client.get(f"/runs/{run.pk}/log.txt").content.decode()


@pytest.mark.parametrize(
    ("days", "words"), [(30, "(kept for 30 days)"), (0, "(logs are kept for ever now)")]
)
def test_run_page_says_when_its_log_was_removed(
    testbed: Testbed,
    owner: User,
    client: Client,
    settings: object,
    days: int,
    words: str,
) -> None:
    run = ended(testbed, owner, 40)
    ended(testbed, owner, 0)
    client.force_login(owner)
    assert "line 3" in client.get(f"/runs/{run.pk}/").content.decode()

    remove_old_logs()
    settings.KEEP_RUNS_DAYS = days

    shown = client.get(f"/runs/{run.pk}/").content.decode()
    assert "Its log was removed on" in shown
    assert words in shown
    assert "No output yet" not in shown
    assert client.get(f"/runs/{run.pk}/log.txt").content.startswith(b"removed on 2")
