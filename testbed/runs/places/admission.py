"""Sends batches to the workers, as many as there are free places, fairly.

`dispatch` makes batches, which wait here until `admit` chooses them; it is called
whenever batches are made or end, and by the sweeper. So the queue in Redis is never
longer than there are processes, and no run stands behind two hundred batches of
another user. The page of a waiting run shows the reason.
"""

from collections import defaultdict
from collections.abc import Iterable
from functools import partial

from django.conf import settings
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from testbed.celery import request_batch
from testbed.models import Batch, Event, Instruction, Run
from testbed.runs.places.fairness import Claim, Places, choose
from testbed.runs.recorder import record

SHOWN = 3
_WAITING = Q(status=Batch.Status.QUEUED, admitted_at=None)


def admit() -> int:
    """Send the batches that may go, once the transaction is over; count them."""
    if not _batches().filter(_WAITING).exists():
        return 0
    with transaction.atomic():
        # One at a time, where the database writes in parallel.
        runs = Run.objects.active().begun().select_for_update()
        list(runs.order_by("pk").values_list("pk"))
        waiting = list(_batches().filter(_WAITING))
        working = list(_batches().exclude(_WAITING))
        places = Places.of_workers(settings.CELERY_WORKER_CONCURRENCY)
        chosen = choose(map(_claim, working), list(map(_claim, waiting)), places)
        admitted = {claim.batch for claim in chosen}
        for batch in waiting:
            if batch.pk in admitted:
                _send(batch)
        held = [batch for batch in waiting if batch.pk not in admitted]
        _explain(waiting, held, [*working, *(b for b in waiting if b not in held)])
    return len(admitted)


def _batches() -> QuerySet[Batch]:
    """Return the batches that wait or work, oldest first, with their runs."""
    active = Batch.objects.filter(status__in=Batch.ACTIVE).order_by("pk")
    wanted = active.exclude(
        status=Batch.Status.QUEUED,
        instruction__run__cancel_requested_at__isnull=False,
    )
    found = wanted.select_related("instruction__run__asked_by")
    return found.defer("instruction__run__plan")


def _claim(batch: Batch) -> Claim:
    run = batch.instruction.run
    return Claim(batch.pk, run.pk, run.asked_by_id)


def _send(batch: Batch) -> None:
    now = timezone.now()
    # From now on the sweeper may take its message for lost.
    Batch.objects.filter(pk=batch.pk).update(admitted_at=now, queued_at=now)
    transaction.on_commit(partial(request_batch, batch.pk, batch.celery_id))


def _explain(
    waiting: Iterable[Batch], held: Iterable[Batch], working: list[Batch]
) -> None:
    """Write on each instruction which of its hosts wait, and for which runs."""
    hosts = defaultdict(list)
    for batch in held:
        hosts[batch.instruction_id].append(batch.host)
    for instruction in {b.instruction_id: b.instruction for b in waiting}.values():
        text = ""
        if names := hosts.get(instruction.pk):
            text = f"waits on {_listed(names)} {_for_whom(instruction.run, working)}."
        if text == instruction.message:
            continue
        Instruction.objects.filter(pk=instruction.pk).update(message=text)
        run_id, index = instruction.run_id, instruction.index
        if text:
            record(run_id, Event.Kind.LOG, index=index, text=text)
        record(run_id, Event.Kind.WAITING, index=index, text=text)


def _for_whom(run: Run, working: list[Batch]) -> str:
    """Name the work that has to end first: this run's, its user's, or others'.

    Not by testbeds: those who see this run may not see all of its user's.
    """
    runs = {b.instruction.run_id: b.instruction.run for b in working}
    mine = [r for r in runs.values() if r.asked_by_id == run.asked_by_id]
    others = [r for r in mine if r.pk != run.pk]
    if others:
        names = _listed([f"{r.command} #{r.pk}" for r in others])
        return f"for {run.asked_by}'s other runs: {names}"
    if mine:
        return "until another host of this run is done"
    people = len({r.asked_by_id for r in runs.values()})
    return f"for a free worker: {len(working)} tasks of {people} people are at work"


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:SHOWN])
    more = len(names) - SHOWN
    return f"{shown} and {more} more" if more > 0 else shown
