"""A worker's hold on its batch: only the holder of the lease may act and write.

A thread renews it and looks for a wish to cancel, in the database, so that a cancel
works while Redis is down. A process that was frozen, or cut off from the database, for
longer than its lease does not know at first whether the batch was given up: until it
knows, `Stop` holds its waits and new commands back. Rows of a lost batch are not
written: `is_ours` is asked inside each writing transaction.
"""

import logging
import os
import signal
import socket
import threading
import time
from datetime import datetime, timedelta
from pathlib import Path

from django.conf import settings
from django.db import DatabaseError, connection
from django.db.models import QuerySet
from django.utils import timezone

from testbed.models import Batch, Run
from testbed.worker import Inbox, Word

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.4
UNSURE_EVERY_S = 0.05
# An overloaded machine or disk may delay every process for so long.
SLOW_S = 60
_LIVING = ("R", "S", "D")


class Stop(threading.Event):
    """The wish to stop; its absence is uncertain once the lease may be over."""

    def __init__(self, known_until: float) -> None:
        super().__init__()
        self.known_until = known_until

    def is_set(self) -> bool:
        """Return whether to stop; waits while that is uncertain."""
        while not super().is_set() and time.monotonic() > self.known_until:
            super().wait(UNSURE_EVERY_S)
        return super().is_set()

    def wait(self, timeout: float | None = None) -> bool:
        """Wait as any event does, and then for as long as the answer is uncertain."""
        super().wait(timeout)
        return self.is_set()


class Lease:
    """Keep a claimed batch until `end`; `stop` is for the scope of its work.

    `taken_at` is the monotonic time just before the batch was claimed.
    """

    def __init__(self, batch: Batch, inbox: Inbox, *, taken_at: float) -> None:
        self.stop = Stop(taken_at + settings.BATCH_LEASE_S)
        self._batch = batch
        self._inbox = inbox
        self._over = threading.Event()
        self._renewed_at = taken_at
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def is_ours(self) -> bool:
        """Return whether the batch is still held; final inside a transaction."""
        return held(self._batch).exists()

    def end(self) -> None:
        """End the thread; the batch no longer needs its lease."""
        self._over.set()
        self._thread.join()

    def _keep(self) -> None:
        try:
            while not self._over.wait(LOOK_EVERY_S):
                try:
                    self._look()
                except DatabaseError as exc:
                    logger.warning("the lease has to wait for the database: %s", exc)
                    connection.close()
        finally:
            self.stop.known_until = float("inf")
            connection.close()

    def _look(self) -> None:
        is_lost = not self._renew()
        if is_lost:
            logger.warning("batch %s was given up, and stops", self._batch.pk)
            self.stop.set()
        run = Run.objects.filter(pk=self._batch.instruction.run_id)
        if is_lost or run.exclude(cancel_requested_at=None).exists():
            self._inbox.put(Word.CANCEL)

    def _renew(self) -> bool:
        """Renew the lease when a third of it is gone. False: the batch was lost."""
        now = time.monotonic()
        if now - self._renewed_at < settings.BATCH_LEASE_S / 3:
            return True
        if not held(self._batch).update(lease_until=lease_end()):
            return False
        self._renewed_at = now
        self.stop.known_until = now + settings.BATCH_LEASE_S
        return True


def holder_name(task_id: str) -> str:
    """Return this process's name as the holder of a task's batch."""
    return f"{_place()} {os.getpid()} {task_id}"[:120]


def is_dead(holder: str) -> bool:
    """Return whether a holder was a process of this place that no longer exists.

    A place is a machine's name and a set of process numbers: containers differ.
    """
    place, pid, *_ = [*holder.split(), ""]
    return place == _place() and not Path("/proc", pid).exists()


def is_late(holder: str, lease_until: datetime) -> bool:
    """Return whether a lapsed lease means that the batch is lost.

    A holder that is seen to live here is only slow, and gets SLOW_S more.
    """
    lapsed_for = timezone.now() - lease_until
    is_slow = _state(holder) in _LIVING
    return lapsed_for > timedelta(seconds=SLOW_S if is_slow else 0)


def kill_frozen(holder: str) -> None:
    """Kill a holder that was a process of this place and is stopped by a signal.

    It may hold the lock that every writer of the database waits for, for ever.
    """
    if _state(holder) == "T":
        pid = int(holder.split()[1])
        logger.warning("process %s is stopped and lost its batch: killed", pid)
        os.kill(pid, signal.SIGKILL)


def _state(holder: str) -> str:
    """Return the kernel's state letter for a worker process of this place; else ''."""
    place, pid, *_ = [*holder.split(), ""]
    try:
        state = Path("/proc", pid, "stat").read_text().rpartition(")")[2].split()[0]
        is_worker = b"celery" in Path("/proc", pid, "cmdline").read_bytes()
    except OSError:
        return ""
    return state if place == _place() and is_worker else ""


def held(batch: Batch) -> QuerySet[Batch]:
    """Return the batch while it runs and `batch.worker` holds it."""
    return Batch.objects.filter(
        pk=batch.pk, status=Batch.Status.RUNNING, worker=batch.worker
    )


def _place() -> str:
    numbers = Path("/proc/self/ns/pid").stat().st_ino
    return f"{socket.gethostname()}/{numbers}"


def lease_end() -> datetime:
    """Return the end of a lease that begins now."""
    return timezone.now() + timedelta(seconds=settings.BATCH_LEASE_S)
