"""Cancelling: signals to workers, what is ended on the hosts, and what outlives it.

The wish is in the database, so that it holds when a signal gets lost, comes twice, or
finds a worker that does not stop.
"""

import signal
import uuid

import pytest
from celery import Celery
from celery.exceptions import SoftTimeLimitExceeded
from django.utils import timezone

from orchestration.errors import HostUnreachable
from orchestration.locks import held_if_free
from orchestration.transport.base import Process
from testbed import worker
from testbed.models import Batch, Run, Task, Testbed
from testbed.runs import batches, cancelling, sweeper
from testbed.runs.batches import claim
from testbed.runs.cancelling import request_cancel
from testbed.runs.dispatch import hand_over
from testbed.runs.outcome import NONE_LEFT
from testbed.worker import Inbox
from tests.testbed.runs.batches import LONG_AGO, results

pytestmark = pytest.mark.django_db(transaction=True)


def statuses_of_tasks(batch_id):
    batch = Batch.objects.get(pk=batch_id)
    tasks = Task.objects.filter(instruction=batch.instruction_id, host=batch.host)
    return set(tasks.values_list("status", flat=True))


@pytest.fixture
def caught_signals():
    """The worker's handler of SIGUSR1, for as long as the test runs."""
    before = signal.getsignal(signal.SIGUSR1)
    worker.catch_cancel(Inbox())
    worker.ignore_cancel()
    yield
    signal.signal(signal.SIGUSR1, before)


def test_signals_that_come_twice_cancel_once(
    on_two_hosts, doors, owner, machines, caught_signals
):
    doors.engine.holds = {"check-hosts"}
    for batch_id, _ in doors.sent:
        doors.start(batch_id)
        doors.engine.began.acquire(timeout=30)
    request_cancel(on_two_hosts.pk, owner)

    for _ in range(2):
        signal.raise_signal(signal.SIGUSR1)
    doors.join()

    on_two_hosts.refresh_from_db()
    assert on_two_hosts.status == Run.Status.CANCELLED
    assert results(on_two_hosts).last().data["success"] is False


def test_signal_cancels_the_batch_that_runs(on_two_hosts, doors, caught_signals):
    doors.engine.holds = {"check-hosts"}
    batch_id = doors.sent[0][0]
    doors.start(batch_id)
    doors.engine.began.acquire(timeout=30)

    signal.raise_signal(signal.SIGUSR1)
    doors.join()

    assert statuses_of_tasks(batch_id) == {Task.Status.CANCELLED}


class InterruptedInbox(Inbox):
    """An inbox whose reader meets the soft time limit first."""

    is_interrupted = False

    def get(self):
        if not self.is_interrupted:
            self.is_interrupted = True
            raise SoftTimeLimitExceeded
        return super().get()


def test_soft_time_limit_is_a_cancel(on_two_hosts, doors, monkeypatch):
    monkeypatch.setattr(batches, "Inbox", InterruptedInbox)
    doors.engine.holds = {"check-hosts"}
    batch_id = doors.sent[0][0]

    doors.start(batch_id)
    doors.join()

    assert statuses_of_tasks(batch_id) == {Task.Status.CANCELLED}


@pytest.mark.parametrize(
    ("of_task", "of_message", "has_limit"),
    [(None, None, False), (5, None, True), (None, 5, True)],
)
def test_signal_outside_a_batch_is_a_soft_time_limit_where_there_is_one(
    caught_signals, of_task, of_message, has_limit
):
    @Celery("signals", set_as_current=False).task(soft_time_limit=of_task)
    def signalled():
        signalled.push_request(timelimit=(None, of_message))
        try:
            signal.raise_signal(signal.SIGUSR1)
        finally:
            signalled.pop_request()

    result = signalled.apply().result

    assert isinstance(result, SoftTimeLimitExceeded) is has_limit


def test_cancelled_run_ends_after_each_used_host_was_asked(
    on_two_hosts, doors, owner, machines
):
    doors.engine.holds = {"check-hosts"}
    doors.start(doors.sent[0][0])
    doors.engine.began.acquire(timeout=30)

    request_cancel(on_two_hosts.pk, owner)
    doors.join()

    on_two_hosts.refresh_from_db()
    host = Batch.objects.get(pk=doors.sent[0][0]).host
    assert on_two_hosts.tag in machines[host].tags
    assert machines["main"].tags.count(on_two_hosts.tag) == 1
    assert on_two_hosts.leftovers == []
    texts = on_two_hosts.events.filter(text__startswith="Ended on")
    assert texts.first().text == "Ended on it: sleep 600 (7)"


def test_processes_that_outlive_a_cancel_are_listed_and_asked_for_again(
    on_two_hosts, doors, owner, machines
):
    machines["main"].survivors = (Process(9, "stubborn"),)
    machines["host-b"].error = HostUnreachable("Host host-b does not answer.")
    doors.engine.holds = {"check-hosts"}
    for batch_id, _ in doors.sent:
        doors.start(batch_id)
        doors.engine.began.acquire(timeout=30)

    request_cancel(on_two_hosts.pk, owner)
    doors.join()

    on_two_hosts.refresh_from_db()
    left = {(x["host"], x["pid"], x["name"]) for x in on_two_hosts.leftovers}
    assert on_two_hosts.status == Run.Status.CANCELLED
    assert left == {
        ("main", 9, "stubborn"),
        ("host-b", 0, "Host host-b does not answer."),
    }
    told = "Not confirmed as ended: 1 process; what may run on host-b."
    assert told in on_two_hosts.message

    machines["main"].survivors, machines["host-b"].error = (), None
    with held_if_free(sweeper.lock_file("leftovers")) as is_alone:
        assert is_alone
        assert sweeper.retry_leftovers() == 0
    assert sweeper.retry_leftovers() == 2
    on_two_hosts.refresh_from_db()
    assert on_two_hosts.leftovers == []
    assert on_two_hosts.message.endswith(f"Asked again: {NONE_LEFT}")


def test_lost_worker_of_a_cancelling_run_ends_it_as_cancelled(
    on_two_hosts, doors, owner, machines
):
    claim(doors.sent[0][0], owner="dead")
    request_cancel(on_two_hosts.pk, owner)
    Batch.objects.update(lease_until=timezone.now() - LONG_AGO)

    sweeper.sweep_once()

    on_two_hosts.refresh_from_db()
    assert on_two_hosts.status == Run.Status.CANCELLED


def test_worker_that_does_not_stop_is_killed(on_two_hosts, doors, owner):
    claim(doors.sent[0][0], owner="stuck")
    request_cancel(on_two_hosts.pk, owner)
    Run.objects.update(cancel_requested_at=timezone.now() - LONG_AGO)

    assert sweeper.kill_stuck() == 1

    assert doors.signalled[-1] == ((doors.sent[0][1],), "SIGKILL")


def test_cancelling_run_that_nobody_ends_is_ended(on_two_hosts, machines):
    Run.objects.update(status=Run.Status.CANCELLING, cancel_requested_at=timezone.now())

    assert sweeper.end_cancelled() == 1

    on_two_hosts.refresh_from_db()
    assert on_two_hosts.status == Run.Status.CANCELLED
    assert not Batch.objects.filter(status__in=Batch.ACTIVE).exists()


def test_signalling_that_fails_leaves_the_wish_in_the_database(
    on_two_hosts, doors, owner
):
    claim(doors.sent[0][0], owner="busy")
    doors.broken = ConnectionRefusedError("no Redis")

    assert request_cancel(on_two_hosts.pk, owner)

    on_two_hosts.refresh_from_db()
    assert on_two_hosts.status == Run.Status.CANCELLING


def test_condition_is_partial_after_a_cancel_that_had_started_guests(
    make_run, doors, owner, machines, testbed
):
    run = make_run()
    doors.engine.holds = {"set-up-guests"}
    doors.is_automatic = True
    hand_over(run.pk, "")
    assert doors.engine.began.acquire(timeout=30)

    request_cancel(run.pk, owner)
    doors.join()

    testbed.refresh_from_db()
    run.refresh_from_db()
    assert run.status == Run.Status.CANCELLED
    assert testbed.condition == Testbed.Condition.PARTIAL
    assert "0 of 2 guests are set up" in run.message


def test_unknown_state_leaves_every_place_unconfirmed(on_two_hosts, testbed):
    testbed.project.clear()

    left = cancelling.end_processes(on_two_hosts, [("main", "main", str(uuid.uuid4()))])

    assert [(x["host"], x["pid"]) for x in left] == [("main", 0)]
