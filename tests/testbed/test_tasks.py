"""Batches, joins and the sweeper: what happens on workers, and when they die."""

import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections import Counter
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from subprocess import PIPE
from unittest.mock import Mock

import pytest
from celery._state import _task_stack
from celery.exceptions import SoftTimeLimitExceeded
from django.core.management import call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from orchestration.errors import HostUnreachable, StateError
from orchestration.instructions.base import Command, Options
from orchestration.instructions.kinds import Kind
from orchestration.transport.base import Ended, Process
from testbed.models import Batch, Event, Instruction, Run, Task, Testbed
from testbed.services.planning import prepare
from testbed.services.runs import accept, hand_over, request_cancel
from testbed.tasks import batches, cancelling, lease, periodic, worker
from testbed.tasks.batches import claim, run_batch
from testbed.tasks.joining import finish_batch
from testbed.tasks.worker import Inbox, Word

pytestmark = pytest.mark.django_db(transaction=True)
LONG_AGO = timedelta(hours=1)


@pytest.fixture
def on_two_hosts(make_run, doors):
    """A run whose `check-hosts` was accepted: two queued batches."""
    run = make_run()
    for instruction in run.instructions.all():
        accept(run.pk, instruction.index, instruction.kind, "tab")
        if instruction.kind == "check-hosts":
            break
        doors.run_sent()
    return run


@pytest.fixture
def machines(monkeypatch):
    """Machines by name that answer `end`, with survivors or an error."""

    class Machine:
        def __init__(self):
            self.tags, self.survivors, self.error = [], (), None

        def end(self, tag):
            self.tags.append(tag)
            if self.error:
                raise self.error
            return Ended(
                "it", (Process(7, "sleep 600"), *self.survivors), self.survivors
            )

    known = {}

    def machine(state, host, name):
        return known.setdefault(name, Machine())

    monkeypatch.setattr(worker, "machine", machine)
    for name in ("main", "host-b"):
        machine(None, name, name)
    return known


def wait_until(is_so):
    deadline = time.monotonic() + 30
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def sets_up_guests(batch, **statuses):
    """Let a batch be one that works in guests, each with a task."""
    instructions = Instruction.objects.filter(pk=batch.instruction_id)
    instructions.update(kind=Kind.SET_UP_GUESTS)
    for name, status in statuses.items():
        Task.objects.create(
            instruction=batch.instruction,
            resource=name,
            host=batch.host,
            status=status,
        )


def holder_that_died():
    """Return the name of a holder whose process is no more."""
    dead = subprocess.Popen(["true"])
    dead.wait()
    return lease.holder_name("x").replace(f" {os.getpid()} ", f" {dead.pid} ")


def results(run):
    return Event.objects.filter(run=run, kind="result")


def test_each_host_of_an_instruction_is_a_batch(on_two_hosts, doors):
    hosts = Batch.objects.filter(instruction__kind="check-hosts")

    assert sorted(hosts.values_list("host", flat=True)) == ["host-b", "main"]
    assert len(doors.sent) == 2


def test_result_comes_with_the_last_batch(on_two_hosts, doors):
    (first, _), (second, _) = doors.sent
    before = results(on_two_hosts).count()

    run_batch(first)
    between = results(on_two_hosts).count()
    run_batch(second)

    assert (between, results(on_two_hosts).count()) == (before, before + 1)


@pytest.mark.parametrize("attempt", range(5))
def test_of_batches_that_finish_at_once_one_writes_the_result(
    on_two_hosts, doors, attempt
):
    taken = [claim(batch_id, owner=str(batch_id)) for batch_id, _ in doors.sent]
    Task.objects.filter(instruction__kind="check-hosts").update(status="done")
    before = results(on_two_hosts).count()
    barrier = threading.Barrier(2)

    def finish(batch):
        barrier.wait(timeout=30)
        finish_batch(batch)
        connection.close()

    threads = [threading.Thread(target=finish, args=(batch,)) for batch in taken]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    instruction = Instruction.objects.get(kind="check-hosts")
    assert instruction.status == Instruction.Status.SUCCEEDED
    assert results(on_two_hosts).count() == before + 1


def test_batch_is_claimed_once(on_two_hosts, doors):
    batch_id = doors.sent[0][0]

    assert claim(batch_id, owner="one") is not None
    assert claim(batch_id, owner="two") is None


def test_claim_tests_the_row_itself_and_not_what_a_subquery_saw(on_two_hosts, doors):
    """PostgreSQL lets a second claim wait, and then tests only the row's own fields."""
    with CaptureQueriesContext(connection) as asked:
        claim(doors.sent[0][0], owner="one")

    (update,) = (q["sql"] for q in asked if q["sql"].startswith("UPDATE"))
    assert " IN (SELECT" not in update
    assert '"testbed_batch"."status" = \'queued\'' in update.partition("WHERE")[2]


def test_message_that_comes_twice_works_once(on_two_hosts, doors):
    doors.engine.worked.clear()
    batch_id = doors.sent[0][0]

    run_batch(batch_id)
    run_batch(batch_id)

    assert len(doors.engine.worked) == 1


def test_unreadable_state_fails_the_tasks_with_its_words(on_two_hosts, doors, testbed):
    testbed.project.state_file.write_text("{broken")

    doors.run_sent()

    on_two_hosts.refresh_from_db()
    tasks = Task.objects.filter(instruction__kind="check-hosts")
    assert {task.status for task in tasks} == {"failed"}
    assert "cannot be read" in tasks[0].message
    assert on_two_hosts.status == Run.Status.FAILED


def test_unforeseen_error_shows_a_reference_and_logs_the_rest(
    on_two_hosts, doors, caplog
):
    doors.engine.error = ZeroDivisionError("secret detail")

    doors.run_sent()

    task = Task.objects.filter(instruction__kind="check-hosts").first()
    reference = task.hint.split()[3]
    assert "secret" not in task.message + task.hint + task.detail
    assert reference in caplog.text
    assert "secret detail" in caplog.text


def test_engine_error_is_shown_as_it_is(on_two_hosts, doors):
    doors.engine.error = StateError("It is so.", hint="Do this.", detail="why")

    doors.run_sent()

    task = Task.objects.filter(instruction__kind="check-hosts").first()
    assert (task.message, task.hint, task.detail) == ("It is so.", "Do this.", "why")


def test_signals_that_come_twice_cancel_once(on_two_hosts, doors, owner, machines):
    doors.engine.holds = {"check-hosts"}
    for batch_id, _ in doors.sent:
        doors.start(batch_id)
        doors.engine.began.acquire(timeout=30)
    request_cancel(on_two_hosts.pk, owner)

    for inbox in list(worker._inboxes) * 2:
        inbox.put(Word.CANCEL)
    doors.join()

    on_two_hosts.refresh_from_db()
    assert on_two_hosts.status == Run.Status.CANCELLED
    assert results(on_two_hosts).last().data["success"] is False


def test_soft_time_limit_is_a_cancel(on_two_hosts):
    class Interrupted(Inbox):
        def get(self):
            raise SoftTimeLimitExceeded

    running = batches._Running(Batch.objects.first(), Interrupted(), 0.0)

    assert running._next_word() is Word.CANCEL


@pytest.mark.parametrize(("limit", "raises"), [(None, False), (5, True)])
def test_signal_outside_a_batch_is_a_soft_time_limit_where_there_is_one(limit, raises):
    worker.ignore_cancel()
    periodic.sweep.push_request(timelimit=(None, limit))
    _task_stack.push(periodic.sweep)
    try:
        with pytest.raises(SoftTimeLimitExceeded) if raises else nullcontext():
            worker._on_signal(10, None)
    finally:
        _task_stack.pop()
        periodic.sweep.pop_request()


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


def test_what_outlives_a_cancel_is_listed_and_asked_for_again(
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
    with periodic._alone("leftovers") as is_alone:
        assert is_alone
        assert periodic.retry_leftovers() == 0
    assert periodic.retry_leftovers() == 2
    on_two_hosts.refresh_from_db()
    assert on_two_hosts.leftovers == []
    assert on_two_hosts.message.endswith("By now nothing of it is left.")


def test_lost_worker_interrupts_the_run_and_its_processes_end(
    on_two_hosts, doors, machines, testbed
):
    (lost, _), (fine, _) = doors.sent
    batch = claim(lost, owner="dead")
    run_batch(fine)
    Batch.objects.filter(pk=lost).update(lease_until=timezone.now() - LONG_AGO)

    assert periodic.end_lost_batches() == 1

    on_two_hosts.refresh_from_db()
    assert on_two_hosts.status == Run.Status.INTERRUPTED
    assert on_two_hosts.message.startswith(
        "A worker was lost before its work was done: "
        f"{batch.instruction.title} on {batch.host}. 2 of "
    )
    assert f"not done: {batch.instruction.title}" in on_two_hosts.message
    assert "0 of 2 guests are set up." in on_two_hosts.message
    assert doors.signalled[-1] == ((str(batch.celery_id),), "SIGKILL")
    assert f"{on_two_hosts.tag}b{lost}." in machines[batch.host].tags
    task = Task.objects.get(instruction=batch.instruction, host=batch.host)
    assert (task.status, task.message) == (
        "failed",
        "The worker that did this was lost.",
    )
    assert not finish_batch(batch)


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

    periodic.end_lost_batches()

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
            taken.append(periodic.end_lost_batches())
        connection.close()  # that of this thread
        return Ended(batch.host, (), ())

    monkeypatch.setattr(machine, "end", end)

    assert periodic.end_lost_batches() == 1

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
        patch.setattr(periodic, step, Mock(side_effect=KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            periodic.end_lost_batches()
    assert mine.get().status == Batch.Status.RUNNING
    mine.update(worker=holder_that_died())
    assert periodic.end_lost_batches() == 1

    on_two_hosts.refresh_from_db()
    assert on_two_hosts.status == Run.Status.INTERRUPTED
    assert f"{on_two_hosts.tag}b{batch.pk}." in machines["web"].tags
    assert [left["pid"] for left in on_two_hosts.leftovers] == [9]
    ends = on_two_hosts.events.filter(
        kind="task-finished", index=batch.instruction.index, host=batch.host
    )
    ended = Counter(ends.values_list("resource", flat=True))
    assert ended == {batch.host: 1, "db": 1, "web": 1}


def test_failed_run_keeps_the_list_of_what_may_still_run(on_two_hosts, doors):
    left = [{"host": "main", "machine": "a", "tag": "t", "pid": 0, "name": "silent"}]
    Run.objects.filter(pk=on_two_hosts.pk).update(leftovers=left)
    doors.engine.fails = {"main", "host-b"}

    doors.run_sent()

    on_two_hosts.refresh_from_db()
    assert on_two_hosts.status == Run.Status.FAILED
    assert on_two_hosts.leftovers == left
    assert "Not confirmed as ended: what may run on a." in on_two_hosts.message


def test_fresh_lease_is_left_alone(on_two_hosts, doors, machines):
    claim(doors.sent[0][0], owner="alive")

    assert periodic.end_lost_batches() == 0


def test_batch_of_a_dead_process_is_lost_before_its_lease_ends(
    on_two_hosts, doors, machines
):
    claim(doors.sent[0][0], owner=lease.holder_name("x"))
    assert periodic.end_lost_batches() == 0
    Batch.objects.filter(pk=doors.sent[0][0]).update(worker=holder_that_died())

    assert periodic.end_lost_batches() == 1


def test_stopped_process_of_a_lost_batch_is_killed_for_the_lock_it_may_hold(
    on_two_hosts, doors, machines
):
    code = "import signal, os; os.kill(os.getpid(), signal.SIGSTOP); signal.pause()"
    stopped = subprocess.Popen([sys.executable, "-c", code, "celery"])
    running = subprocess.Popen([sys.executable, "-c", "input()", "celery"], stdin=PIPE)
    os.waitid(os.P_PID, stopped.pid, os.WSTOPPED)
    for process, (batch_id, _) in zip((stopped, running), doors.sent[-2:], strict=True):
        claim(
            batch_id,
            owner=lease.holder_name("x").replace(f"{os.getpid()}", f"{process.pid}"),
        )
    Batch.objects.update(lease_until=timezone.now() - LONG_AGO)

    assert periodic.end_lost_batches() == 2

    assert stopped.wait() == -signal.SIGKILL
    assert running.poll() is None
    running.communicate(b"\n")


def test_living_process_whose_lease_lapsed_is_only_slow(on_two_hosts, doors, machines):
    slow = subprocess.Popen([sys.executable, "-c", "input()", "celery"], stdin=PIPE)
    batch_id = doors.sent[0][0]
    holder = lease.holder_name("x").replace(f"{os.getpid()}", f"{slow.pid}")
    while b"celery" not in Path(f"/proc/{slow.pid}/cmdline").read_bytes():
        time.sleep(0.01)  # it has not become the program yet
    claim(batch_id, owner=holder)
    mine = Batch.objects.filter(pk=batch_id)
    mine.update(lease_until=timezone.now() - timedelta(seconds=1))

    assert periodic.end_lost_batches() == 0
    mine.update(lease_until=timezone.now() - timedelta(seconds=lease.SLOW_S + 1))
    assert periodic.end_lost_batches() == 1

    slow.communicate(b"\n")


def test_process_of_another_machine_is_not_taken_for_dead():
    assert not lease.is_dead("elsewhere/4026531836 999999999 x")


def test_lost_worker_of_a_cancelling_run_ends_it_as_cancelled(
    on_two_hosts, doors, owner, machines
):
    claim(doors.sent[0][0], owner="dead")
    request_cancel(on_two_hosts.pk, owner)
    Batch.objects.update(lease_until=timezone.now() - LONG_AGO)

    periodic.sweep_once()

    on_two_hosts.refresh_from_db()
    assert on_two_hosts.status == Run.Status.CANCELLED


def test_worker_that_does_not_stop_is_killed(on_two_hosts, doors, owner):
    claim(doors.sent[0][0], owner="stuck")
    request_cancel(on_two_hosts.pk, owner)
    Run.objects.update(cancel_requested_at=timezone.now() - LONG_AGO)

    assert periodic.kill_stuck() == 1

    assert doors.signalled[-1] == ((doors.sent[0][1],), "SIGKILL")


def test_worker_that_lost_its_lease_stops(on_two_hosts, doors, machines, monkeypatch):
    monkeypatch.setattr(lease, "LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(lease.settings, "BATCH_LEASE_S", 0)
    doors.engine.holds = {"check-hosts"}
    batch_id = doors.sent[0][0]
    doors.start(batch_id)
    doors.engine.began.acquire(timeout=30)

    Batch.objects.filter(pk=batch_id).update(worker="sweeper")
    doors.join()

    assert Batch.objects.get(pk=batch_id).status == Batch.Status.RUNNING


def test_batch_that_was_given_up_writes_nothing_more(
    on_two_hosts, doors, machines, monkeypatch
):
    monkeypatch.setattr(lease, "LOOK_EVERY_S", 0.01)
    doors.engine.holds = {"check-hosts"}
    batch_id = doors.sent[0][0]
    doors.start(batch_id)
    doors.engine.began.acquire(timeout=30)
    wait_until(lambda: on_two_hosts.events.filter(kind="task-started").exists())
    Batch.objects.filter(pk=batch_id).update(lease_until=timezone.now() - LONG_AGO)
    assert periodic.end_lost_batches() == 1
    after = set(on_two_hosts.events.values_list("pk", flat=True))

    doors.engine.release.set()
    doors.join()

    assert set(on_two_hosts.events.values_list("pk", flat=True)) == after


def test_work_waits_while_nobody_knows_whether_it_is_wanted():
    stop = lease.Stop(known_until=0.0)
    asked = threading.Thread(target=stop.is_set)
    asked.start()

    asked.join(0.2)
    assert asked.is_alive()
    stop.known_until = float("inf")
    asked.join(30)

    assert not asked.is_alive()
    assert not stop.is_set()


def test_work_that_waits_stops_when_it_is_not_wanted_any_more():
    stop = lease.Stop(known_until=0.0)
    threading.Timer(0.1, stop.set).start()

    assert stop.wait(0)


def test_vanished_message_is_sent_again(on_two_hosts, doors):
    sent = set(doors.sent)
    doors.sent.clear()
    assert periodic.send_again() == 0
    Batch.objects.update(queued_at=timezone.now() - LONG_AGO)

    assert periodic.send_again() == 2

    assert set(doors.sent) == sent
    assert periodic.send_again() == 0


def test_instruction_whose_worker_died_before_the_join_is_joined(on_two_hosts, doors):
    for batch_id, _ in doors.sent:
        claim(batch_id, owner="dead")
    Batch.objects.update(status=Batch.Status.FINISHED)
    Task.objects.filter(instruction__kind="check-hosts").update(status="done")

    assert periodic.join_finished() == 1

    instruction = Instruction.objects.get(kind="check-hosts")
    assert instruction.status == Instruction.Status.SUCCEEDED


def test_run_of_a_vanished_driver_is_driven_by_the_server(on_two_hosts, doors):
    doors.run_sent()
    assert periodic.take_over_unattended() == 0
    Run.objects.update(driver_seen_at=timezone.now() - LONG_AGO)

    assert periodic.take_over_unattended() == 1

    while doors.run_sent():
        pass
    on_two_hosts.refresh_from_db()
    assert on_two_hosts.status == Run.Status.SUCCEEDED


def test_run_without_a_driver_is_adopted_after_a_while(make_run, doors):
    run = make_run()
    periodic.adopt(run.pk)
    run.refresh_from_db()
    assert run.driver == Run.Driver.NOBODY
    Run.objects.update(created_at=timezone.now() - LONG_AGO)

    periodic.adopt(run.pk)

    run.refresh_from_db()
    assert run.driver == Run.Driver.SERVER
    assert len(doors.sent) == 1


def test_server_that_died_between_two_instructions_goes_on(on_two_hosts, doors):
    doors.run_sent()
    Run.objects.update(driver=Run.Driver.SERVER)

    assert periodic.drive_on() == 1

    assert len(doors.sent) > 0


def test_cancelling_run_that_nobody_ends_is_ended(on_two_hosts, machines):
    Run.objects.update(status=Run.Status.CANCELLING, cancel_requested_at=timezone.now())

    assert periodic.end_cancelled() == 1

    on_two_hosts.refresh_from_db()
    assert on_two_hosts.status == Run.Status.CANCELLED
    assert not Batch.objects.filter(status__in=Batch.ACTIVE).exists()


def test_sweep_of_a_healthy_run_changes_nothing(on_two_hosts, doors):
    claim(doors.sent[0][0], owner="alive")
    before = list(Event.objects.values_list("pk", flat=True))

    assert not any(periodic.sweep_once().values())

    assert list(Event.objects.values_list("pk", flat=True)) == before


def test_recover_says_what_it_mended(on_two_hosts, doors, machines, capsys):
    for batch_id, _ in doors.sent:
        claim(batch_id, owner="dead")

    call_command("recover", lost=on_two_hosts.pk)
    first = capsys.readouterr().out
    call_command("recover")

    assert "2 batches whose worker was lost" in first
    assert capsys.readouterr().out == "Nothing had to be mended.\n"
    on_two_hosts.refresh_from_db()
    assert on_two_hosts.status == Run.Status.INTERRUPTED


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


def test_failed_change_of_what_is_up_leaves_it_partial(make_run, doors, owner, testbed):
    prepare(testbed, Command.UP, Options())
    testbed.condition = Testbed.Condition.UP
    testbed.save()
    yaml = testbed.project.yaml
    yaml.write_text(yaml.read_text().replace("name: db", "name: store"))
    doors.engine.fails = {"db"}
    doors.is_automatic = True

    run = make_run()
    hand_over(run.pk, "")
    doors.join()

    testbed.refresh_from_db()
    run.refresh_from_db()
    assert run.status == Run.Status.FAILED
    assert "db does not work." in run.message
    assert ("stop-guests", "host-b") in doors.engine.worked
    assert not any(kind == "start-guests" for kind, _ in doors.engine.worked)
    assert testbed.condition == Testbed.Condition.PARTIAL
    assert testbed.project.has_unfinished_change()


def test_unknown_state_leaves_every_place_unconfirmed(on_two_hosts, testbed):
    testbed.project.clear()

    left = cancelling.end_processes(on_two_hosts, [("main", "main", str(uuid.uuid4()))])

    assert [(x["host"], x["pid"]) for x in left] == [("main", 0)]
