"""Acts on snapshots that wait: each started once, old records removed."""

from datetime import timedelta

import pytest
from django.contrib.auth.models import User
from django.utils import timezone

from testbed.models import Run, SnapshotOrder, Testbed
from testbed.snapshots.orders import forget_old_orders, start_waiting
from tests.testbed.snapshots.rows import TAKEN, put, taken


def ordered(testbed: Testbed, user: User, **values: object) -> SnapshotOrder:
    wanted = {"verb": "delete", "name": "base", "guests": ["web"]} | values
    return SnapshotOrder.objects.create(testbed=testbed, asked_by=user, **wanted)


def test_testbeds_do_not_wait_for_each_other(
    generated: Testbed, owner: User, doors: object
):
    Testbed.objects.update(condition=Testbed.Condition.UP)
    other = Testbed.objects.create(owner=owner, slug="other", number=8)
    busy = ordered(generated, owner)
    Run.objects.create(
        testbed=generated, command="up", plan={}, asked_by=owner, status="running"
    )
    refused = ordered(other, owner)

    started = start_waiting()

    busy.refresh_from_db()
    refused.refresh_from_db()
    assert (started, busy.status, refused.status) == (0, "waiting", "refused")


def test_refused_act_lets_the_next_one_start(
    generated: Testbed, owner: User, doors: object
):
    Testbed.objects.update(condition=Testbed.Condition.UP)
    gone = ordered(generated, owner, guests=["gone"])
    there = ordered(generated, owner)

    assert start_waiting() == 1

    gone.refresh_from_db()
    there.refresh_from_db()
    assert gone.status == "refused"
    assert "gone" in gone.message
    assert there.run == Run.objects.get()


def test_run_of_an_act_begins_without_waiting_for_a_client(
    generated: Testbed, owner: User, doors: object
):
    Testbed.objects.update(condition=Testbed.Condition.UP)
    ordered(generated, owner)

    start_waiting()

    run = Run.objects.get()
    assert (run.driver, run.next_index) == (Run.Driver.SERVER, 1)


def test_unexpected_error_lets_the_next_one_start(
    generated: Testbed, owner: User, doors: object, caplog: pytest.LogCaptureFixture
):
    Testbed.objects.update(condition=Testbed.Condition.UP)
    broken = ordered(generated, owner, verb="no-verb")
    there = ordered(generated, owner)

    assert start_waiting() == 1

    broken.refresh_from_db()
    there.refresh_from_db()
    assert broken.status == "refused"
    reference = broken.message.split("reference ")[1].split()[0]
    assert reference in caplog.text
    assert "no-verb" in caplog.text
    assert there.run == Run.objects.get()


def test_act_is_not_done_to_a_later_snapshot_of_the_name(
    generated: Testbed, owner: User, doors: object
):
    Testbed.objects.update(condition=Testbed.Condition.UP)
    put(generated, "web", taken("base", created_at=TAKEN + 1))
    other = ordered(generated, owner, taken={"web": TAKEN})
    same = ordered(generated, owner, taken={"web": TAKEN + 1})

    assert start_waiting() == 1

    other.refresh_from_db()
    same.refresh_from_db()
    assert other.status == "refused"
    assert "another snapshot base than the one that was chosen" in other.message
    assert same.run.plan["snapshot"]["taken"] == {"web": TAKEN + 1}


def test_old_records_go_and_acts_that_wait_stay(testbed: Testbed, owner: User):
    for status in ("waiting", "started", "refused"):
        ordered(testbed, owner, status=status)
    young = ordered(testbed, owner, status="refused")
    old = timezone.now() - timedelta(days=91)
    SnapshotOrder.objects.exclude(pk=young.pk).update(created_at=old)

    assert forget_old_orders() == 2

    assert {one.status for one in SnapshotOrder.objects.all()} == {"waiting", "refused"}
