"""Runs, batches and leases in any order of events, against a model of what may be.

Clients send and leave, messages get lost or come twice, workers finish, die, freeze
and come back late, users cancel, Redis goes and comes, the sweeper sweeps. Services,
tasks and the database are the real ones; only the hosts' work is left out. Whatever
happened, a run ends in the end, and tells how it went.
"""

import itertools
import time

import pytest
from django.utils import timezone
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from orchestration.errors import TestbedBusy
from orchestration.plan.model import Command
from orchestration.transport.base import Scope
from testbed.models import Batch, Event, Instruction, Run, Task
from testbed.runs import sweeper
from testbed.runs.batches import _Running, claim
from testbed.runs.cancelling import request_cancel
from testbed.runs.creation import create_run
from testbed.runs.dispatch import accept, hand_over
from testbed.runs.joining import finish_batch
from testbed.runs.lease import Lease
from testbed.worker import Inbox
from tests.testbed.runs.batches import LONG_AGO

pytestmark = pytest.mark.django_db(transaction=True)
CLIENTS = ("tab", "other tab")
ROUNDS = 40
TODAY = {
    "max_examples": 12,
    "stateful_step_count": 25,
    "derandomize": True,
}
AT_LENGTH = {"max_examples": 150, "stateful_step_count": 50}
COMMON = {
    "deadline": None,
    "database": None,
    # A failure is short enough to read; looking for a shorter one takes minutes.
    "phases": (Phase.generate,),
    "suppress_health_check": list(HealthCheck),
}
pick = st.integers(min_value=0, max_value=1_000)


class Transitions(RuleBasedStateMachine):
    """The model: what each batch is, who holds it, and what was asked."""

    def __init__(self, testbed, owner, doors):
        super().__init__()
        self.testbed, self.owner, self.doors = testbed, owner, doors
        self.names = itertools.count()

    @initialize()
    def nothing_yet(self):
        Run.objects.all().delete()
        self.doors.sent.clear()
        self.doors.broken = None
        self.run = None
        self.held: dict[str, Batch] = {}
        self.claimed: set[int] = set()
        self.given_up: set[int] = set()
        self.is_cancelled = False

    def row(self):
        return Run.objects.get(pk=self.run.pk)

    @property
    def is_on(self):
        return self.run is not None and not self.row().is_over

    @rule(command=st.sampled_from([Command.UP, Command.DOWN]))
    def start(self, command):
        if self.is_on:
            with pytest.raises(TestbedBusy):
                create_run(self.testbed, self.owner, command)
            return
        has_state = self.testbed.project.has_state()
        self.run = create_run(
            self.testbed, self.owner, command if has_state else Command.UP
        )
        self.is_cancelled = False

    @precondition(lambda self: self.run is not None)
    @rule(client=st.sampled_from(CLIENTS))
    def send_next(self, client):
        before = self.row()
        following = before.instructions.filter(index=before.next_index).first()
        if following is None:
            return
        ack = accept(self.run.pk, following.index, following.kind, client)

        running = before.instructions.filter(status=Instruction.Status.RUNNING)
        may = not before.is_over and not self.is_cancelled
        may = may and not (before.instructions.exclude(pk=None) & running).exists()
        if ack.valid:
            assert before.driver != Run.Driver.SERVER
            assert before.driver_channel in ("", client)
            assert not before.is_over
            assert not self.is_cancelled
        elif before.driver == Run.Driver.NOBODY:
            assert not may, ack.message

    @precondition(lambda self: self.run is not None)
    @rule(client=st.sampled_from(CLIENTS), index=st.integers(0, 30))
    def send_another(self, client, index):
        before = self.row()
        if index != before.next_index:
            assert not accept(self.run.pk, index, "check-hosts", client).valid

    @precondition(lambda self: self.run is not None)
    @rule(client=st.sampled_from(CLIENTS))
    def leave(self, client):
        hand_over(self.run.pk, client)

    @precondition(lambda self: self.doors.sent)
    @rule(which=pick, is_kept=st.booleans())
    def take_message(self, which, is_kept):
        """Take a batch; a message that is kept comes a second time."""
        number = which % len(self.doors.sent)
        batch_id, _ = self.doors.sent[number]
        if not is_kept:
            del self.doors.sent[number]
        self.take(batch_id)

    def take(self, batch_id):
        before = Batch.objects.filter(pk=batch_id).first()
        name = f"worker {next(self.names)}"
        batch = claim(batch_id, owner=name)

        is_free = before is not None and before.status == Batch.Status.QUEUED
        assert (batch is not None) == (is_free and not self.is_cancelled)
        if batch is not None:
            assert batch.pk not in self.claimed
            self.claimed.add(batch.pk)
            self.held[name] = batch

    @precondition(lambda self: self.doors.sent)
    @rule(which=pick)
    def lose_message(self, which):
        del self.doors.sent[which % len(self.doors.sent)]

    @precondition(lambda self: self.held)
    @rule(which=pick, is_good=st.booleans())
    def finish(self, which, is_good):
        self.end_work(sorted(self.held)[which % len(self.held)], is_good=is_good)

    def end_work(self, name, *, is_good):
        """Do what a worker does at the end, in time or late."""
        batch = self.held.pop(name)
        before = list(Event.objects.values_list("pk", flat=True))
        is_late = batch.pk in self.given_up
        if is_good and not is_late:
            Task.objects.filter(
                instruction=batch.instruction_id, host=batch.host
            ).update(status=Task.Status.DONE)
        work = _Running(batch, Inbox(), time.monotonic())
        lease = Lease(batch, work.inbox, taken_at=time.monotonic())
        try:
            work._settle(Scope(stop=lease.stop), lease)
            is_ours = finish_batch(batch)
        finally:
            lease.end()
        if is_ours:
            sweeper.conclude_cancel(batch.instruction.run_id)

        assert is_ours == (not is_late)
        if is_late:
            assert list(Event.objects.values_list("pk", flat=True)) == before

    @precondition(lambda self: self.held)
    @rule(which=pick)
    def die_before_the_join(self, which):
        batch = self.held.pop(sorted(self.held)[which % len(self.held)])
        Batch.objects.filter(
            pk=batch.pk, status=Batch.Status.RUNNING, worker=batch.worker
        ).update(status=Batch.Status.FINISHED)

    @precondition(lambda self: self.held)
    @rule(which=pick)
    def fall_silent(self, which):
        """A worker dies or freezes; one that froze still comes back to finish."""
        batch = self.held[sorted(self.held)[which % len(self.held)]]
        Batch.objects.filter(pk=batch.pk, status=Batch.Status.RUNNING).update(
            lease_until=timezone.now() - LONG_AGO
        )

    @precondition(lambda self: self.run is not None)
    @rule()
    def cancel(self):
        was_on = self.is_on
        assert request_cancel(self.run.pk, self.owner) == (
            was_on and not self.is_cancelled
        )
        self.is_cancelled = self.is_cancelled or was_on

    @rule(is_there=st.booleans())
    def change_redis(self, is_there):
        self.doors.broken = None if is_there else OSError("no Redis")

    @rule()
    def pass_time(self):
        """Drivers and messages count as lost at the next sweep."""
        then = timezone.now() - LONG_AGO
        Run.objects.update(created_at=then)
        Run.objects.exclude(driver_seen_at=None).update(driver_seen_at=then)
        Batch.objects.filter(status=Batch.Status.QUEUED).update(queued_at=then)

    @rule()
    def sweep(self):
        lapsed = Batch.objects.filter(
            status=Batch.Status.RUNNING, lease_until__lt=timezone.now()
        )
        self.given_up |= set(lapsed.values_list("pk", flat=True))
        sweeper.sweep_once()

    @invariant()
    def rows_are_true(self):
        if getattr(self, "run", None) is None:
            return
        run = self.row()
        numbers = list(run.events.values_list("seq", flat=True))
        assert numbers == list(range(1, run.last_seq + 1))
        instructions = list(run.instructions.all())
        running = [i for i in instructions if i.status == Instruction.Status.RUNNING]
        assert len(running) <= 1
        begun = [i.index for i in instructions if i.started_at]
        assert begun == list(range(run.next_index))
        joined = [i.index for i in instructions if i.ended_at and i.kind != "end"]
        results = run.events.filter(kind="result").values_list("index", flat=True)
        assert sorted(results) == joined
        active = Batch.objects.filter(
            instruction__run=run, status__in=Batch.ACTIVE
        ).values_list("instruction__index", flat=True)
        assert set(active) <= {i.index for i in running}
        ends = list(run.events.filter(kind="run").values_list("seq", flat=True))
        assert ends == ([run.last_seq] if run.is_over else [])
        if run.is_over:
            assert not running
            self.end_is_true(run, instructions)

    def end_is_true(self, run, instructions):
        batches = Batch.objects.filter(instruction__run=run)
        is_lost = batches.filter(status=Batch.Status.LOST).exists()
        good = {i.status == Instruction.Status.SUCCEEDED for i in instructions}
        status = Run.Status
        assert run.message
        assert (run.status == status.CANCELLED) == self.is_cancelled
        if not self.is_cancelled:
            assert (run.status == status.INTERRUPTED) == is_lost
            assert (run.status == status.SUCCEEDED) == (good == {True})

    def teardown(self):
        """After any history, workers and a sweeper bring the run to its end."""
        if getattr(self, "run", None) is None:
            return
        self.doors.broken = None
        for _ in range(ROUNDS):
            for name in list(self.held):
                self.end_work(name, is_good=True)
            self.pass_time()
            self.sweep()
            while self.doors.sent:
                self.take(self.doors.sent.pop(0)[0])
            self.rows_are_true()
            if not self.is_on and not self.held:
                return
        raise AssertionError(f"{self.row().status} for ever")


@pytest.fixture
def try_everything(testbed, owner, doors, machines):
    def try_everything(**how):
        run_state_machine_as_test(
            lambda: Transitions(testbed, owner, doors),
            settings=settings(**COMMON, **how),
        )

    return try_everything


def test_run_ends_and_tells_the_truth_in_any_order_of_events(try_everything):
    try_everything(**TODAY)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_run_ends_and_tells_the_truth_in_many_orders_of_events(try_everything):
    try_everything(**AT_LENGTH)
