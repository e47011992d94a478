"""The sweeper: runs that nobody brings on any more go on, healthy ones are left alone.

What it does about batches whose worker was lost is in test_lost_batches, what it does
about cancelled runs in test_cancelling.
"""

import pytest
from django.core.management import call_command
from django.utils import timezone

from testbed.models import Batch, Event, Instruction, Run, Task
from testbed.runs import sweeper
from testbed.runs.batches import claim
from tests.testbed.runs.batches import LONG_AGO, held_by, idle_worker

pytestmark = pytest.mark.django_db(transaction=True)


def test_vanished_message_is_sent_again(on_two_hosts, doors):
    sent = set(doors.sent)
    doors.sent.clear()
    assert sweeper.send_again() == 0
    Batch.objects.update(queued_at=timezone.now() - LONG_AGO)

    assert sweeper.send_again() == 2

    assert set(doors.sent) == sent
    assert sweeper.send_again() == 0


def test_step_that_fails_keeps_no_other_from_its_work(
    on_two_hosts, doors, monkeypatch, caplog
):
    def surprised() -> int:
        raise ZeroDivisionError

    monkeypatch.setattr(sweeper, "end_lost_batches", surprised)
    Batch.objects.update(queued_at=timezone.now() - LONG_AGO)

    repaired = sweeper.sweep_once()

    assert repaired["batches sent again"] == 2
    assert repaired["batches whose worker was lost"] == 0
    assert "'batches whose worker was lost' ended with an unexpected" in caplog.text


def test_instruction_whose_worker_died_before_the_join_is_joined(on_two_hosts, doors):
    for batch_id, _ in doors.sent:
        claim(batch_id, owner="dead")
    Batch.objects.update(status=Batch.Status.FINISHED)
    Task.objects.filter(instruction__kind="check-hosts").update(status="done")

    assert sweeper.join_finished() == 1

    instruction = Instruction.objects.get(kind="check-hosts")
    assert instruction.status == Instruction.Status.SUCCEEDED


def test_run_of_a_vanished_driver_is_driven_by_the_server(on_two_hosts, doors):
    doors.run_sent()
    assert sweeper.take_over_unattended() == 0
    Run.objects.update(driver_seen_at=timezone.now() - LONG_AGO)

    assert sweeper.take_over_unattended() == 1

    while doors.run_sent():
        pass
    on_two_hosts.refresh_from_db()
    assert on_two_hosts.status == Run.Status.SUCCEEDED


def test_run_without_a_driver_is_adopted_after_a_while(make_run, doors):
    run = make_run()
    sweeper.adopt(run.pk)
    run.refresh_from_db()
    assert run.driver == Run.Driver.NOBODY
    Run.objects.update(created_at=timezone.now() - LONG_AGO)

    sweeper.adopt(run.pk)

    run.refresh_from_db()
    assert run.driver == Run.Driver.SERVER
    assert len(doors.sent) == 1


def test_server_that_died_between_two_instructions_goes_on(on_two_hosts, doors):
    doors.run_sent()
    Run.objects.update(driver=Run.Driver.SERVER)

    assert sweeper.drive_on() == 1

    assert len(doors.sent) > 0


def test_sweep_of_a_healthy_run_changes_nothing(on_two_hosts, doors):
    claim(doors.sent[0][0], owner="alive")
    before = list(Event.objects.values_list("pk", flat=True))

    assert not any(sweeper.sweep_once().values())

    assert list(Event.objects.values_list("pk", flat=True)) == before


def test_recover_says_what_it_mended(on_two_hosts, doors, machines, capsys):
    for batch_id, _ in doors.sent:
        claim(batch_id, owner="dead")

    call_command("recover", lost=on_two_hosts.pk)
    first = capsys.readouterr().out
    call_command("recover")

    assert "2 batches whose worker was lost" in first
    assert capsys.readouterr().out == "Nothing had to be repaired.\n"
    on_two_hosts.refresh_from_db()
    assert on_two_hosts.status == Run.Status.INTERRUPTED


def test_recover_believes_who_declares_a_living_worker_lost(
    on_two_hosts, doors, machines, capsys
):
    hangs = idle_worker()
    for batch_id, _ in doors.sent:
        claim(batch_id, owner=held_by(hangs))

    call_command("recover", lost=on_two_hosts.pk)
    hangs.communicate(b"\n")

    assert "2 batches whose worker was lost" in capsys.readouterr().out
    on_two_hosts.refresh_from_db()
    assert on_two_hosts.status == Run.Status.INTERRUPTED
