"""Cleanups: which deletions are accepted, and that each is done once and ends.

A name must be typed and have orphans, and only one deletion of it is on at a time. One
whose worker was lost ends, one that no worker took is sent again.
"""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.db import IntegrityError
from django.utils import timezone

from orchestration.errors import StateError, TestbedBusy
from orchestration.state.model import State
from testbed import cleanups
from testbed.cleanups import (
    LOST_AFTER,
    clean_up,
    end_lost_cleanups,
    send_cleanups_again,
)
from testbed.models import Cleanup, CleanupItem, Testbed
from testbed.orphans.listing import clean_up_after, delete_orphans
from tests.testbed.conftest import Doors
from tests.testbed.orphans.listing import delete, lose
from tests.waiting import wait_until


def test_name_must_be_typed(testbed: Testbed, state: State, admin: User) -> None:
    lose(testbed)

    with pytest.raises(StateError, match="not typed"):
        delete_orphans("lab", "lob", admin)

    assert not Cleanup.objects.exists()


def test_thing_that_is_no_orphan_cannot_be_deleted(state: State, admin: User) -> None:
    with pytest.raises(StateError, match="no orphans of lab"):
        delete_orphans("lab", "lab", admin)


def test_second_deletion_of_the_same_name_waits(
    testbed: Testbed, state: State, admin: User
) -> None:
    lose(testbed)
    delete_orphans("lab", "lab", admin)

    with pytest.raises(TestbedBusy):
        delete_orphans("lab", "lab", admin)


def test_only_a_second_deletion_is_told_as_one(
    testbed: Testbed, state: State, admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(items: object) -> None:
        raise IntegrityError("cleanupitem")

    lose(testbed)
    monkeypatch.setattr(CleanupItem.objects, "bulk_create", refuse)

    with pytest.raises(IntegrityError, match="cleanupitem"):
        delete_orphans("lab", "lab", admin)

    assert not Cleanup.objects.exists()


def test_testbed_can_go_while_its_orphans_are_being_deleted(
    testbed: Testbed, state: State, owner: User
) -> None:
    Cleanup.objects.create(name="lab", asked_by=owner)

    assert clean_up_after(testbed) is None

    assert Cleanup.objects.count() == 1


def test_message_that_comes_twice_does_nothing_the_second_time(
    testbed: Testbed, state: State, admin: User, doors: Doors
) -> None:
    lose(testbed)
    cleanup = delete("lab", admin, doors)
    Cleanup.objects.filter(pk=cleanup.pk).update(message="as it was")

    clean_up(cleanup.pk)

    cleanup.refresh_from_db()
    assert cleanup.message == "as it was"


def test_lost_worker_ends_a_deletion_and_untaken_ones_are_sent_again(
    admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[int] = []
    monkeypatch.setattr(cleanups, "request_cleanup", sent.append)
    long_ago = timezone.now() - timedelta(hours=1)
    running = Cleanup.objects.create(
        name="a", asked_by=admin, status="running", seen_at=long_ago
    )
    alive = Cleanup.objects.create(
        name="b", asked_by=admin, status="running", seen_at=timezone.now()
    )
    waiting = Cleanup.objects.create(name="c", asked_by=admin)
    Cleanup.objects.filter(pk=waiting.pk).update(created_at=long_ago)
    Cleanup.objects.create(name="d", asked_by=admin)

    assert end_lost_cleanups() == 1
    assert send_cleanups_again() == 1

    running.refresh_from_db()
    alive.refresh_from_db()
    assert (running.status, alive.status) == ("failed", "running")
    assert "worker" in running.message
    assert sent == [waiting.pk]


@pytest.mark.django_db(transaction=True)
def test_deletion_that_takes_long_in_one_place_is_not_lost(
    admin: User, monkeypatch: pytest.MonkeyPatch
) -> None:
    cleanup = Cleanup.objects.create(name="a", asked_by=admin, subject="images")
    row = Cleanup.objects.filter(pk=cleanup.pk)

    def delete_slowly(*_: object) -> str:
        row.update(seen_at=timezone.now() - timedelta(hours=1))
        lost = row.filter(seen_at__lt=timezone.now() - LOST_AFTER)
        wait_until(lambda: not lost.exists())
        assert end_lost_cleanups() == 0
        return ""

    monkeypatch.setattr(cleanups, "SEEN_EVERY_S", 0.01)
    monkeypatch.setattr(cleanups, "delete_images", delete_slowly)

    clean_up(cleanup.pk)

    assert row.get().status == Cleanup.Status.SUCCEEDED
