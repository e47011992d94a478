"""Runs are cancelled: at once while nothing runs, else by the batches themselves.

A cancel is one, however often it is asked for, and nothing is accepted after it.
"""

import pytest

from testbed.models import Event, Instruction, Run, Testbed
from testbed.runs.cancelling import request_cancel
from testbed.runs.dispatch import accept
from testbed.runs.outcome import NONE_LEFT
from tests.testbed.event_rows import kinds_of

pytestmark = pytest.mark.django_db(transaction=True)


def test_cancel_of_a_run_that_nobody_drives_ends_it_at_once(make_run, owner, testbed):
    run = make_run()

    assert request_cancel(run.pk, owner)

    run.refresh_from_db()
    testbed.refresh_from_db()
    assert run.status == Run.Status.CANCELLED
    assert run.cancel_requested_by == owner
    assert kinds_of(run) == ["cancel-requested", "run"]
    assert testbed.condition == Testbed.Condition.EMPTY


def test_cancel_before_a_worker_took_the_batch_ends_at_once(make_run, owner, doors):
    run = make_run()
    accept(run.pk, 0, "init", "tab")

    assert request_cancel(run.pk, owner)

    run.refresh_from_db()
    assert run.status == Run.Status.CANCELLED
    assert doors.signalled == []
    assert kinds_of(run)[-3:] == ["task-finished", "result", "run"]
    doors.run_sent()
    assert doors.engine.worked == []


def test_cancel_twice_is_one_cancel(make_run, owner, doors):
    run = make_run()

    assert request_cancel(run.pk, owner)
    assert not request_cancel(run.pk, owner)

    assert Event.objects.filter(kind="cancel-requested").count() == 1


def test_cancelling_run_accepts_no_instruction(make_run, owner, doors):
    run = make_run()
    accept(run.pk, 0, "init", "tab")
    doors.engine.holds = {"init"}
    doors.start(doors.sent[0][0])
    doors.engine.began.acquire(timeout=30)

    request_cancel(run.pk, owner)
    ack = accept(run.pk, 1, "check-artefacts", "tab")

    assert ack.message == "This run is being cancelled."
    assert doors.signalled == [((doors.sent[0][1],), "SIGUSR1")]


def test_running_batch_sees_the_cancel_without_a_signal(
    make_run, owner, doors, testbed
):
    run = make_run()
    accept(run.pk, 0, "init", "tab")
    doors.engine.holds = {"init"}
    doors.start(doors.sent[0][0])
    doors.engine.began.acquire(timeout=30)

    request_cancel(run.pk, owner)
    doors.join()

    run.refresh_from_db()
    assert run.status == Run.Status.CANCELLED
    assert run.message.startswith("Cancelled by olive.")
    assert run.message.endswith(f". {NONE_LEFT}")
    assert run.instructions.get(index=0).status == Instruction.Status.CANCELLED
