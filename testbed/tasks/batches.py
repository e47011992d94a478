"""One batch: what an instruction does on one host, from the claim to the proof.

The engine works in a thread of its own while the main thread waits for words: the
cancel signal, the lease thread's fallback, the end. The lease thread keeps the batch
ours and reads the wish to cancel from the database, so that a cancel works while
Redis is down. A batch that lost its lease stops and writes nothing more.
"""

import json
import logging
import os
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import lru_cache

from celery import Task as CeleryTask
from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings
from django.db import DatabaseError, connection, transaction
from django.utils import timezone

from orchestration.engine import Work, share, state_for
from orchestration.errors import TestbedError
from orchestration.events import Sink, Status
from orchestration.plan import Plan
from orchestration.transport.base import Scope
from testbed.models import Batch, Run
from testbed.recorder import Recorder, finish_tasks
from testbed.tasks import worker
from testbed.tasks.admission import RUN_BATCH
from testbed.tasks.cancelling import (
    conclude_cancel,
    open_tasks,
    record_ended,
    survivors,
)
from testbed.tasks.joining import finish_batch
from testbed.tasks.worker import Inbox, Word

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 0.4


@shared_task(name=RUN_BATCH, bind=True)
def run_batch(self: "CeleryTask[..., None]", batch_id: int) -> None:
    """Do a batch's work, unless another worker has it or the run was cancelled."""
    inbox = Inbox()
    worker.catch_cancel(inbox)
    try:
        name = f"{self.request.hostname} {os.getpid()} {self.request.id}"
        batch = claim(batch_id, owner=name[:120])
        if batch is not None:
            _Running(batch, inbox).run()
    finally:
        worker.ignore_cancel()


def claim(batch_id: int, *, owner: str) -> Batch | None:
    """Take a queued batch, with a lease. None: it is taken, over or not wanted."""
    queued = Batch.objects.filter(
        pk=batch_id,
        status=Batch.Status.QUEUED,
        instruction__run__cancel_requested_at=None,
    )
    if not queued.update(
        status=Batch.Status.RUNNING, worker=owner, lease_until=_lease_end()
    ):
        return None
    found = Batch.objects.select_related("instruction__run__testbed")
    return found.defer("instruction__run__plan").get(pk=batch_id)


@dataclass(slots=True)
class _Running:
    """A batch while it runs."""

    batch: Batch
    inbox: Inbox
    problem: TestbedError | None = None

    @property
    def of_run(self) -> Run:
        """The run that the batch belongs to."""
        return self.batch.instruction.run

    def run(self) -> None:
        """Work, record, prove, join."""
        scope = Scope(f"{self.of_run.tag}b{self.batch.pk}.")
        recorder = Recorder(self.of_run.pk)
        lease = _Lease(self.batch, self.inbox)
        try:
            self._work_and_listen(scope, recorder.sink)
        finally:
            recorder.close()
        try:
            self._settle(scope)
            is_mine = finish_batch(self.batch)
        finally:
            lease.stop()
        if is_mine:
            conclude_cancel(self.of_run.pk)

    def _work_and_listen(self, scope: Scope, sink: Sink) -> None:
        thread = threading.Thread(target=self._work, args=(scope, sink), name="batch")
        thread.start()
        while self._next_word() is not Word.DONE:
            scope.cancel()
        thread.join()

    def _next_word(self) -> Word:
        try:
            return self.inbox.get()
        except SoftTimeLimitExceeded:
            return Word.CANCEL

    def _work(self, scope: Scope, sink: Sink) -> None:
        try:
            worker.engine().run(self._share(), scope=scope, sink=sink)
        except TestbedError as exc:
            self.problem = exc
        except Exception:  # the border of the Celery task
            reference = uuid.uuid4().hex[:8]
            logger.exception("%s failed, reference %s", self.batch, reference)
            self.problem = TestbedError(
                f"{self.batch.instruction.title} failed on {self.batch.host} "
                "for a reason that we did not foresee.",
                hint=f"Give the reference {reference} to your administrator.",
            )
        finally:
            connection.close()
            self.inbox.put(Word.DONE)

    def _share(self) -> Work:
        project = self.of_run.testbed.project
        plan = _plan(self.of_run.pk, self.of_run.created_at)
        instruction = plan.instructions[self.batch.instruction.index]
        return Work(
            instruction=share(instruction, self.batch.host),
            host=self.batch.host,
            state=state_for(instruction, project),
            project=project,
            options=plan.options,
        )

    def _settle(self, scope: Scope) -> None:
        """Leave no task open, and say what was ended and what was not."""
        status, problem = Status.FAILED, self.problem
        if scope.stop.is_set():
            status = Status.CANCELLED
            problem = problem or TestbedError("Cancelled.")
        problem = problem or TestbedError("The task ended without a result.")
        finish_tasks(
            self.of_run.pk,
            open_tasks(self.batch),
            status,
            message=problem.message,
            hint=problem.hint,
            detail=problem.detail,
        )
        record_ended(self.of_run.pk, scope.ended)
        if left := survivors(self.batch.host, scope.tag, scope.ended):
            with transaction.atomic():
                run = Run.objects.select_for_update().get(pk=self.of_run.pk)
                run.leftovers = [*run.leftovers, *left]
                run.save(update_fields=["leftovers"])


class _Lease:
    """Renew the lease and look for a cancel, until stopped."""

    def __init__(self, batch: Batch, inbox: Inbox) -> None:
        self._batch = batch
        self._inbox = inbox
        self._stop = threading.Event()
        self._renewed_at = time.monotonic()
        self._thread = threading.Thread(target=self._keep, name="lease", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; the batch needs its lease no more."""
        self._stop.set()
        self._thread.join()

    def _keep(self) -> None:
        try:
            while not self._stop.wait(LOOK_EVERY_S):
                try:
                    if self._is_over():
                        self._inbox.put(Word.CANCEL)
                except DatabaseError as exc:
                    logger.warning("the lease has to wait for the database: %s", exc)
                    connection.close()
        finally:
            connection.close()

    def _is_over(self) -> bool:
        if not self._renew():
            return True
        run = Run.objects.filter(pk=self._batch.instruction.run_id)
        return run.exclude(cancel_requested_at=None).exists()

    def _renew(self) -> bool:
        """Renew the lease when a third of it is gone. False: the batch was lost."""
        if time.monotonic() - self._renewed_at < settings.BATCH_LEASE_S / 3:
            return True
        self._renewed_at = time.monotonic()
        mine = Batch.objects.filter(
            pk=self._batch.pk, status=Batch.Status.RUNNING, worker=self._batch.worker
        )
        return bool(mine.update(lease_until=_lease_end()))


# A run's plan never changes, and each of its batches needs it: 40 ms for 1,000 guests.
@lru_cache(maxsize=4)
def _plan(run_id: int, created_at: datetime) -> Plan:
    run = Run.objects.filter(pk=run_id, created_at=created_at)
    return Plan.from_json(json.dumps(run.values_list("plan", flat=True).get()))


def _lease_end() -> datetime:
    return timezone.now() + timedelta(seconds=settings.BATCH_LEASE_S)
