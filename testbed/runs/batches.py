"""One batch: the work of an instruction on one host, from the claim to the proof.

The engine works in a thread of its own while the main thread waits for messages: the
cancel signal, the loss of the lease, the end. A batch that lost its lease stops and
writes nothing more: the process that took the lease has recorded the loss and has ended
the batch's processes.
"""

import json
import logging
import threading
import time
import uuid
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache

from celery import Task as CeleryTask
from celery import shared_task
from celery.exceptions import SoftTimeLimitExceeded
from django.db import connection, transaction
from django.db.models import Exists, OuterRef

from orchestration.engine import Work, share, state_for
from orchestration.errors import TestbedError
from orchestration.events import Sink, Status
from orchestration.plan.lifecycle import Plan
from orchestration.plan.model import Kind
from orchestration.transport.base import Scope
from testbed import worker
from testbed.access.limits import MIB, limits_of
from testbed.celery import RUN_BATCH
from testbed.hosts.firewall import current_policy
from testbed.models import Batch, Run
from testbed.runs.cancelling import conclude_cancel, open_tasks, record_ended, survivors
from testbed.runs.joining import finish_batch
from testbed.runs.lease import Lease, holder_name, lease_end
from testbed.runs.recorder import Recorder, finish_tasks
from testbed.ssh.keys import keys_for
from testbed.worker import Inbox, Word

logger = logging.getLogger(__name__)

_ABOUT_FIREWALLS = (Kind.CHECK_HOSTS, Kind.ENSURE_FIREWALL, Kind.ENSURE_NETWORKS)


@shared_task(name=RUN_BATCH, bind=True)
def run_batch(self: "CeleryTask[..., None]", batch_id: int) -> None:
    """Do a batch's work, unless another worker has it or the run was cancelled."""
    inbox = Inbox()
    worker.catch_cancel(inbox)
    try:
        taken_at = time.monotonic()
        batch = claim(batch_id, owner=holder_name(str(self.request.id)))
        if batch is not None:
            _Running(batch, inbox, taken_at).run()
    finally:
        worker.ignore_cancel()


def claim(batch_id: int, *, owner: str) -> Batch | None:
    """Take a queued batch, with a lease. None: it is taken, over or not wanted."""
    unwanted = Run.objects.filter(
        instructions=OuterRef("instruction"), cancel_requested_at__isnull=False
    )
    # Not a filter across tables: that becomes `id IN (SELECT …)`, whose status
    # PostgreSQL does not check again after it waited for another claim.
    queued = Batch.objects.filter(
        ~Exists(unwanted), pk=batch_id, status=Batch.Status.QUEUED
    )
    if not queued.update(
        status=Batch.Status.RUNNING, worker=owner, lease_until=lease_end()
    ):
        return None
    found = Batch.objects.select_related("instruction__run__testbed__owner")
    return found.defer("instruction__run__plan").get(pk=batch_id)


@dataclass(slots=True)
class _Running:
    """A batch while it runs."""

    batch: Batch
    inbox: Inbox
    taken_at: float
    problem: TestbedError | None = None

    @property
    def of_run(self) -> Run:
        """The run that the batch belongs to."""
        return self.batch.instruction.run

    def run(self) -> None:
        """Work, record, prove, join."""
        limit_bytes = limits_of(self.of_run.testbed.owner).testbed_log_mib * MIB
        lease = Lease(self.batch, self.inbox, taken_at=self.taken_at)
        scope = Scope(f"{self.of_run.tag}b{self.batch.pk}.", stop=lease.stop)
        recorder = Recorder(
            self.of_run.pk, may_write=lease.is_ours, limit_bytes=limit_bytes
        )
        try:
            try:
                self._work_and_listen(scope, recorder.sink)
            finally:
                recorder.close()
            self._settle(scope, lease)
            is_mine = finish_batch(self.batch)
        finally:
            lease.end()
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
            policy=current_policy() if instruction.kind in _ABOUT_FIREWALLS else None,
            execution=plan.execution,
            snapshot=plan.snapshot,
            image=plan.image,
            answers=project.answers(self.of_run.pk),
            fetched=project.fetched(self.of_run.pk),
            user_keys=keys_for(self.of_run.testbed),
        )

    def _settle(self, scope: Scope, lease: Lease) -> None:
        """Close every open task, and record which processes were ended or survived."""
        status, problem = Status.FAILED, self.problem
        if scope.stop.is_set():
            status = Status.CANCELLED
            problem = problem or TestbedError("Cancelled.")
        problem = problem or TestbedError("The task ended without a result.")
        with transaction.atomic():
            run = Run.objects.select_for_update().defer("plan").get(pk=self.of_run.pk)
            if not lease.is_ours():
                return
            finish_tasks(
                run.pk,
                open_tasks(self.batch),
                status,
                message=problem.message,
                hint=problem.hint,
                detail=problem.detail,
            )
            record_ended(run.pk, scope.ended)
            left = survivors(self.batch.host, scope.tag, scope.ended)
            if left:
                run.leftovers = [*run.leftovers, *left]
                run.save(update_fields=["leftovers"])


# A run's plan never changes, and each of its batches needs it: 40 ms for 1,000 guests.
@lru_cache(maxsize=4)
def _plan(run_id: int, created_at: datetime) -> Plan:
    run = Run.objects.filter(pk=run_id, created_at=created_at)
    return Plan.from_json(json.dumps(run.values_list("plan", flat=True).get()))
