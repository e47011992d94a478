"""Runs are made: stored with their plan, one at a time, or refused with the reason.

A plan that a client made itself is taken when it is the server's, too; a queue that is
away loses no run.
"""

import json
import threading

import pytest
from django.db import connection

from orchestration.errors import SpecError, StateError, TestbedBusy
from orchestration.plan.model import Command
from testbed.models import Batch, Run, Task
from testbed.runs.cancelling import request_cancel
from testbed.runs.creation import create_run
from testbed.runs.dispatch import accept

pytestmark = pytest.mark.django_db(transaction=True)


def test_run_is_stored_with_its_instructions_and_tasks(make_run, doors):
    run = make_run()

    plan = run.plan["instructions"]
    assert [i.kind for i in run.instructions.all()] == [i["kind"] for i in plan]
    assert Task.objects.filter(instruction__run=run).count() == sum(
        len(i["resources"]) for i in plan
    )
    assert run.status == Run.Status.PENDING
    assert doors.adopted == [run.pk]


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
