"""Runs are driven: by one client in order, or by the server when it is handed over.

What came of it is the run's status and message, and the condition of its testbed.
"""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from orchestration.plan.model import Command
from testbed.models import Batch, Instruction, Run, Testbed
from testbed.runs.dispatch import accept, hand_over, keep_driving
from tests.testbed.event_rows import kinds_of

pytestmark = pytest.mark.django_db(transaction=True)


def drive_to_end(run, doors, channel="tab"):
    """Send every instruction as a client would; return the run as it is then."""
    for instruction in run.instructions.all():
        if not accept(run.pk, instruction.index, instruction.kind, channel).valid:
            break
        doors.run_sent()
    run.refresh_from_db()
    return run


def test_client_drives_up_to_its_end(make_run, doors, testbed):
    run = drive_to_end(make_run(), doors)

    testbed.refresh_from_db()
    assert run.status == Run.Status.SUCCEEDED
    assert run.message == "All 2 guests are up."
    assert testbed.condition == Testbed.Condition.UP
    assert kinds_of(run)[-1] == "run"
    assert kinds_of(run).count("result") == run.instructions.count() - 1
    assert list(run.events.values_list("seq", flat=True)) == [
        *range(1, run.last_seq + 1)
    ]


def test_down_after_up_is_down(make_run, doors, testbed):
    drive_to_end(make_run(), doors)
    testbed.refresh_from_db()

    run = drive_to_end(make_run(Command.DOWN), doors)

    testbed.refresh_from_db()
    assert run.status == Run.Status.SUCCEEDED
    assert testbed.condition == Testbed.Condition.DOWN


@pytest.mark.parametrize(
    ("index", "kind", "reason"),
    [
        (1, "check-artefacts", "Instruction 0 is next, not 1."),
        (0, "check-hosts", "Instruction 0 is init, not check-hosts."),
        (99, "init", "Instruction 0 is next, not 99."),
    ],
)
def test_instruction_out_of_order_is_not_executed(make_run, doors, index, kind, reason):
    run = make_run()

    ack = accept(run.pk, index, kind, "tab")

    assert (ack.valid, ack.message) == (False, reason)
    assert doors.sent == []
    run.refresh_from_db()
    assert (run.status, run.driver) == (Run.Status.PENDING, Run.Driver.NOBODY)


def test_instruction_waits_for_its_predecessor(make_run, doors):
    run = make_run()
    assert accept(run.pk, 0, "init", "tab").valid

    again = accept(run.pk, 0, "init", "tab")
    early = accept(run.pk, 1, "check-artefacts", "tab")

    assert again.message == "Instruction 0 was accepted before."
    assert early.message == "Instruction 0 is still running."
    assert len(doors.sent) == 1


def test_second_client_cannot_drive_while_the_first_is_there(make_run, doors):
    run = make_run()
    accept(run.pk, 0, "init", "first")
    doors.run_sent()

    second = accept(run.pk, 1, "check-artefacts", "second")

    assert not second.valid
    assert "Another window" in second.message


def test_second_client_drives_when_the_first_was_not_seen(make_run, doors):
    run = make_run()
    accept(run.pk, 0, "init", "first")
    doors.run_sent()
    Run.objects.update(driver_seen_at=timezone.now() - timedelta(minutes=1))

    assert accept(run.pk, 1, "check-artefacts", "second").valid
    assert not keep_driving(run.pk, "first")


def test_of_two_drivers_at_once_one_starts_the_instruction(make_run, doors):
    run = make_run()
    barrier, acks = threading.Barrier(2), []

    def send(channel):
        barrier.wait(timeout=30)
        acks.append(accept(run.pk, 0, "init", channel))
        connection.close()

    threads = [threading.Thread(target=send, args=(name,)) for name in ("a", "b")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert sorted(ack.valid for ack in acks) == [False, True]
    assert Batch.objects.count() == 1


def test_server_goes_on_when_the_driver_is_gone(make_run, doors):
    run = make_run()
    accept(run.pk, 0, "init", "tab")
    doors.run_sent()

    assert hand_over(run.pk, "tab")
    while doors.run_sent():
        pass

    run.refresh_from_db()
    assert run.status == Run.Status.SUCCEEDED
    assert run.driver == Run.Driver.SERVER


def test_server_goes_on_after_an_instruction_that_was_running(make_run, doors):
    run = make_run()
    accept(run.pk, 0, "init", "tab")

    assert hand_over(run.pk, "tab")
    assert len(doors.sent) == 1
    while doors.run_sent():
        pass

    run.refresh_from_db()
    assert run.status == Run.Status.SUCCEEDED


def test_only_the_driver_can_hand_over(make_run, doors):
    run = make_run()
    accept(run.pk, 0, "init", "tab")

    assert not hand_over(run.pk, "another")
    assert not accept(run.pk, 1, "check-artefacts", "another").valid


def test_client_cannot_take_a_run_back_from_the_server(make_run, doors):
    run = make_run()
    hand_over(run.pk, "tab")

    ack = accept(run.pk, 1, "check-artefacts", "tab")

    assert "The server drives" in ack.message


def test_failed_resource_stops_the_plan_and_is_named(make_run, doors, testbed):
    doors.engine.fails = {"db"}

    run = drive_to_end(make_run(), doors)

    testbed.refresh_from_db()
    assert run.status == Run.Status.FAILED
    assert run.message == "The set-up of guests had not begun; db does not work."
    kinds = Instruction.objects.filter(run=run, status=Instruction.Status.WAITING)
    assert "start-guests" in kinds.values_list("kind", flat=True)
    assert testbed.condition == Testbed.Condition.GENERATED


def test_failure_after_something_was_started_is_partial(make_run, doors, testbed):
    run = make_run()
    starts = run.instructions.get(kind="start-guests")
    for instruction in run.instructions.filter(index__lt=starts.index):
        accept(run.pk, instruction.index, instruction.kind, "tab")
        doors.run_sent()
    doors.engine.fails = {"db"}

    accept(run.pk, starts.index, starts.kind, "tab")
    doors.run_sent()

    run.refresh_from_db()
    testbed.refresh_from_db()
    assert run.status == Run.Status.FAILED
    assert testbed.condition == Testbed.Condition.PARTIAL


def test_down_keeps_going_and_says_what_is_left(make_run, doors, testbed):
    drive_to_end(make_run(), doors)
    doors.engine.fails = {"db"}

    run = drive_to_end(make_run(Command.DOWN), doors)

    testbed.refresh_from_db()
    statuses = run.instructions.values_list("kind", "status")
    assert run.status == Run.Status.FAILED
    assert dict(statuses)["delete-networks"] == Instruction.Status.SUCCEEDED
    assert "db on " in run.message
    assert testbed.condition == Testbed.Condition.PARTIAL
