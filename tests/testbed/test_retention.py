"""Old runs lose their logs, in small steps, and everything else stays."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone

from testbed.models import Cleanup, Event, Run, Testbed
from testbed.retention import forget_old_cleanups, remove_old_logs
from testbed.tasks import keep_house_once

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
