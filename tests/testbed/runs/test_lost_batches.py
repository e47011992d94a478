"""Batches whose worker was lost: who ends them, and what is ended with them.

The sweeper interrupts the run and looks for processes on the host and in the guests;
another sweeper waits for it, and does all of it again when it died.
"""

from collections import Counter
from datetime import timedelta
from unittest.mock import Mock

import pytest
from django.db import connection
from django.utils import timezone

from orchestration.errors import HostUnreachable, NetworkFailed
from orchestration.providers.ovs import mirrors
from orchestration.transport.base import Ended, Process
from orchestration.transport.processes.tags import tag_of
from testbed import worker
from testbed.models import Batch, Run, Task
from testbed.runs import sweeper
from testbed.runs.batches import claim, run_batch
from testbed.runs.joining import finish_batch
from tests.testbed.runs.batches import LONG_AGO, holder_that_died, sets_up_guests

pytestmark = pytest.mark.django_db(transaction=True)


def test_lost_worker_interrupts_the_run_and_its_processes_end(
    on_two_hosts, doors, machines, testbed
):
    (lost, _), (fine, _) = doors.sent
    batch = claim(lost, owner="dead")
    run_batch(fine)
    Batch.objects.filter(pk=lost).update(lease_until=timezone.now() - LONG_AGO)

    assert sweeper.end_lost_batches() == 1

    on_two_hosts.refresh_from_db()
    assert on_two_hosts.status == Run.Status.INTERRUPTED
    assert on_two_hosts.message.startswith(
        "A worker was lost before its work was done: "
        f"{batch.instruction.title} on {batch.host}. 2 of "
    )
    assert f"not done: {batch.instruction.title}" in on_two_hosts.message
    assert "The set-up of guests had not begun." in on_two_hosts.message
    assert doors.signalled[-1] == ((str(batch.celery_id),), "SIGKILL")
    assert f"{on_two_hosts.tag}b{lost}." in machines[batch.host].tags
    task = Task.objects.get(instruction=batch.instruction, host=batch.host)
    assert (task.status, task.message) == (
        "failed",
        "The worker that did this was lost.",
    )
    assert not finish_batch(batch)


def test_lost_capture_of_a_bridge_leaves_no_mirror(
    on_two_hosts, doors, machines, monkeypatch
):
    (lost, _), _ = doors.sent
    batch = claim(lost, owner="dead")
    Batch.objects.filter(pk=lost).update(lease_until=timezone.now() - LONG_AGO)
    Run.objects.filter(pk=on_two_hosts.pk).update(
        options={"form": "capture", "capture": {"bridge": "br0"}}
    )
    done = []

    def delete(machine, mark, *, scope):
        assert tag_of(scope), "a prefix is no tag"
        done.append((machine, list(machine.tags), mark))
        if len(done) == 1:
            raise NetworkFailed("Open vSwitch could not be read.")

    monkeypatch.setattr(mirrors, "delete", delete)

    sweeper.end_lost_batches()
    on_two_hosts.refresh_from_db()
    left = on_two_hosts.leftovers
    Run.objects.filter(pk=on_two_hosts.pk).update(ended_at=timezone.now())
    sweeper.retry_leftovers()

    mark = f"{on_two_hosts.tag}b{lost}."
    assert done[0] == (machines[batch.host], [mark], mark)
    assert [one["name"] for one in left] == ["Open vSwitch could not be read."]
    on_two_hosts.refresh_from_db()
    assert on_two_hosts.leftovers == []


def test_lost_worker_is_looked_for_in_the_guests_it_was_in(
    on_two_hosts, doors, machines, monkeypatch
):
    (lost, _), (fine, _) = doors.sent
    batch = claim(lost, owner="dead")
    run_batch(fine)
    sets_up_guests(batch, over="done", open="running", off="running")
    for name in ("over", "open", "off"):
        error = HostUnreachable(f"{name} does not answer.")
        worker.machine(None, batch.host, name).error = error
    monkeypatch.setattr(worker, "is_off", lambda state, host, name: name == "off")
    Batch.objects.filter(pk=lost).update(lease_until=timezone.now() - LONG_AGO)

    sweeper.end_lost_batches()

    on_two_hosts.refresh_from_db()
    tag = f"{on_two_hosts.tag}b{lost}."
    assert [machines[name].tags for name in ("over", "open", "off")] == [
        [],
        [tag],
        [tag],
    ]
    assert [(x["machine"], x["pid"]) for x in on_two_hosts.leftovers] == [("open", 0)]
    assert on_two_hosts.status == Run.Status.INTERRUPTED
    assert "what may run on open" in on_two_hosts.message


def test_batch_is_not_taken_from_a_sweeper_that_still_looks(
    on_two_hosts, doors, machines, monkeypatch
):
    batch = claim(doors.sent[0][0], owner="dead")
    run_batch(doors.sent[1][0])
    mine = Batch.objects.filter(pk=batch.pk)
    mine.update(lease_until=timezone.now() - LONG_AGO)
    machine, tags, taken = machines[batch.host], [], []

    def end(tag):
        tags.append(tag)
        if len(tags) == 1:
            # A busy guest is waited for so long.
            mine.update(lease_until=mine.get().lease_until - timedelta(seconds=60))
            taken.append(sweeper.end_lost_batches())
        connection.close()  # that of this thread
        return Ended(batch.host, (), ())

    monkeypatch.setattr(machine, "end", end)

    assert sweeper.end_lost_batches() == 1

    assert taken == [0]
    assert mine.get().status == Batch.Status.LOST


@pytest.mark.parametrize("step", ["end_processes", "_close", "finish_batch"])
def test_sweeper_that_dies_at_any_step_leaves_all_of_it_to_the_next(
    on_two_hosts, doors, machines, monkeypatch, step
):
    batch = claim(doors.sent[0][0], owner="dead")
    run_batch(doors.sent[1][0])
    sets_up_guests(batch, web="running", db="running")
    survivor = Process(9, "sleep 9")
    worker.machine(None, batch.host, "web").survivors = (survivor,)
    mine = Batch.objects.filter(pk=batch.pk)
    mine.update(lease_until=timezone.now() - LONG_AGO)

    with monkeypatch.context() as patch:
        patch.setattr(sweeper, step, Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            sweeper.end_lost_batches()
    assert mine.get().status == Batch.Status.RUNNING
    mine.update(worker=holder_that_died())
    assert sweeper.end_lost_batches() == 1

    on_two_hosts.refresh_from_db()
    assert on_two_hosts.status == Run.Status.INTERRUPTED
    assert f"{on_two_hosts.tag}b{batch.pk}." in machines["web"].tags
    assert [left["pid"] for left in on_two_hosts.leftovers] == [9]
    ends = on_two_hosts.events.filter(
        kind="task-finished", index=batch.instruction.index, host=batch.host
    )
    ended = Counter(ends.values_list("resource", flat=True))
    assert ended == {batch.host: 1, "db": 1, "web": 1}
