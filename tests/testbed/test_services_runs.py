"""Starting, driving, handing over and cancelling runs, as services see it."""

import json
import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from orchestration.errors import SpecError, StateError, TestbedBusy
from orchestration.instructions.base import Command
from testbed.models import Batch, Event, Instruction, Run, Task, Testbed
from testbed.services.runs import (
    accept,
    create_run,
    hand_over,
    keep_driving,
    request_cancel,
)

pytestmark = pytest.mark.django_db(transaction=True)


def drive_to_end(run, doors, channel="tab"):
    """Send every instruction as a client would; return the run as it is then."""
    for instruction in run.instructions.all():
        if not accept(run.pk, instruction.index, instruction.kind, channel).valid:
            break
        doors.run_sent()
    run.refresh_from_db()
    return run


def kinds_of(run):
    return list(run.events.values_list("kind", flat=True))


def test_run_is_stored_with_its_instructions_and_tasks(make_run, doors):
    run = make_run()

    plan = run.plan["instructions"]
    assert [i.kind for i in run.instructions.all()] == [i["kind"] for i in plan]
    assert Task.objects.filter(instruction__run=run).count() == sum(
        len(i["resources"]) for i in plan
    )
    assert run.status == Run.Status.PENDING
    assert doors.adopted == [run.pk]


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
    assert run.message == "0 of 2 guests are set up; db does not work."
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


def test_second_run_is_told_who_runs_and_since_when(make_run, member, testbed):
    make_run()

    with pytest.raises(TestbedBusy) as busy:
        create_run(testbed, member, Command.UP)

    assert "olive has been running up on testbed lab since " in busy.value.message


def test_of_two_runs_at_once_one_is_made(testbed, owner, doors):
    barrier, made, refused = threading.Barrier(4), [], []

    def create():
        barrier.wait(timeout=30)
        try:
            made.append(create_run(testbed, owner, Command.UP))
        except TestbedBusy as exc:
            refused.append(exc)
        connection.close()

    threads = [threading.Thread(target=create) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert (len(made), len(refused)) == (1, 3)
    assert Run.objects.count() == 1


def test_broken_yaml_makes_no_run(testbed, owner, doors):
    testbed.project.yaml.write_text("machines: 7\n")

    with pytest.raises(SpecError) as broken:
        create_run(testbed, owner, Command.UP)

    assert broken.value.findings
    assert not Run.objects.exists()


def test_same_plan_of_a_client_is_taken(testbed, owner, doors):
    first = create_run(testbed, owner, Command.UP)
    request_cancel(first.pk, owner)

    run = create_run(testbed, owner, Command.UP, client_plan=first.plan)

    assert run.plan == first.plan


def test_other_plan_of_a_client_is_refused(testbed, owner, doors):
    first = create_run(testbed, owner, Command.UP)
    request_cancel(first.pk, owner)
    other = json.loads(json.dumps(first.plan))
    other["instructions"][3]["title"] = "Something else"

    with pytest.raises(StateError, match="from instruction 3 on"):
        create_run(testbed, owner, Command.UP, client_plan=other)

    assert Run.objects.count() == 1


def test_lost_queue_loses_no_run(testbed, owner, doors):
    doors.broken = ConnectionRefusedError("no Redis")

    run = create_run(testbed, owner, Command.UP)
    ack = accept(run.pk, 0, "init", "tab")

    assert ack.valid
    assert Batch.objects.get().status == Batch.Status.QUEUED


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
    assert run.instructions.get(index=0).status == Instruction.Status.CANCELLED
