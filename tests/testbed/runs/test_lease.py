"""Leases: which worker counts as lost, and how one notices that it lost its batch.

A process that is dead or stopped loses its batch, one that is only slow keeps it for
a while, and whoever was given up stops and writes nothing more.
"""

import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta
from subprocess import PIPE

import pytest
from django.utils import timezone

from testbed.models import Batch
from testbed.runs import lease, sweeper
from testbed.runs.batches import claim
from tests.testbed.runs.batches import LONG_AGO, held_by, holder_that_died, idle_worker
from tests.waiting import wait_until

pytestmark = pytest.mark.django_db(transaction=True)


def test_fresh_lease_is_left_alone(on_two_hosts, doors, machines):
    claim(doors.sent[0][0], owner="alive")

    assert sweeper.end_lost_batches() == 0


def test_batch_of_a_dead_process_is_lost_before_its_lease_ends(
    on_two_hosts, doors, machines
):
    claim(doors.sent[0][0], owner=lease.holder_name("x"))
    assert sweeper.end_lost_batches() == 0
    Batch.objects.filter(pk=doors.sent[0][0]).update(worker=holder_that_died())

    assert sweeper.end_lost_batches() == 1


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
            owner=held_by(process),
        )
    Batch.objects.update(lease_until=timezone.now() - LONG_AGO)

    assert sweeper.end_lost_batches() == 2

    assert stopped.wait() == -signal.SIGKILL
    assert running.poll() is None
    running.communicate(b"\n")


def test_living_process_whose_lease_lapsed_is_only_slow(on_two_hosts, doors, machines):
    slow = idle_worker()
    batch_id = doors.sent[0][0]
    claim(batch_id, owner=held_by(slow))
    mine = Batch.objects.filter(pk=batch_id)
    mine.update(lease_until=timezone.now() - timedelta(seconds=1))

    assert sweeper.end_lost_batches() == 0
    mine.update(lease_until=timezone.now() - timedelta(seconds=lease.SLOW_S + 1))
    assert sweeper.end_lost_batches() == 1

    slow.communicate(b"\n")


def test_process_of_another_machine_is_not_taken_for_dead():
    assert not lease.is_dead("elsewhere/4026531836 999999999 x")


def test_worker_that_lost_its_lease_stops(on_two_hosts, doors, machines, settings):
    settings.BATCH_LEASE_S = 0
    doors.engine.holds = {"check-hosts"}
    batch_id = doors.sent[0][0]
    doors.start(batch_id)
    doors.engine.began.acquire(timeout=30)

    Batch.objects.filter(pk=batch_id).update(worker="sweeper")
    doors.join()

    assert Batch.objects.get(pk=batch_id).status == Batch.Status.RUNNING


def test_batch_that_was_given_up_writes_nothing_more(on_two_hosts, doors, machines):
    doors.engine.holds = {"check-hosts"}
    batch_id = doors.sent[0][0]
    doors.start(batch_id)
    doors.engine.began.acquire(timeout=30)
    wait_until(lambda: on_two_hosts.events.filter(kind="task-started").exists())
    Batch.objects.filter(pk=batch_id).update(lease_until=timezone.now() - LONG_AGO)
    assert sweeper.end_lost_batches() == 1
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
