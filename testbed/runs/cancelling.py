"""Asks a run to stop, and searches for processes that carry its mark.

`request_cancel` saves the wish first, so that it holds even while Redis is down, then
signals the batches that run. A run ends as cancelled only after `conclude_cancel`
has asked each used host for processes that carry the run's tag. Survivors, and machines
that could not be asked, are listed in `Run.leftovers` by host and pid. In guests only
processes of tasks that did not end well are ended, because a server that a script
started is the script's purpose.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypedDict

from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from orchestration.errors import StateError, TestbedError
from orchestration.events import Status
from orchestration.plan.model import ENTERS_GUESTS
from orchestration.providers.ovs import mirrors
from orchestration.state.model import State
from orchestration.transport.base import Ended, Scope
from testbed import worker
from testbed.access.permissions import Act, name_acting, record_act
from testbed.celery import revoke
from testbed.models import Batch, Event, Instruction, Run, Task
from testbed.runs.joining import join
from testbed.runs.outcome import finish_run
from testbed.runs.places.admission import admit
from testbed.runs.recorder import finish_tasks, record

# The host, the machine on it (itself or a guest), and the tag to search for.
Place = tuple[str, str, str]


class Leftover(TypedDict):
    """A process not confirmed as ended; `pid` 0: the machine was not reached."""

    host: str
    machine: str
    tag: str
    pid: int
    name: str


def request_cancel(run_id: int, user: User | None) -> bool:
    """Ask a run to stop. False: it was asked before, or it is over.

    A run without running batches ends at once.
    """
    with transaction.atomic():
        going = (Run.Status.WAITING, Run.Status.PENDING, Run.Status.RUNNING)
        asked = Run.objects.filter(
            pk=run_id, status__in=going, cancel_requested_at=None
        ).update(
            status=Run.Status.CANCELLING,
            cancel_requested_at=timezone.now(),
            cancel_requested_by=user,
        )
        if not asked:
            return False
        run = (
            Run.objects.select_related("testbed__owner").only("testbed").get(pk=run_id)
        )
        who = name_acting(user, run.testbed) if user else "The system"
        record(run_id, Event.Kind.CANCEL_REQUESTED, text=f"{who} cancels.")
        if user:
            record_act(user, Act.CANCEL, run.testbed, f"cancelled run {run_id}")
        drop_queued(run_id)
        transaction.on_commit(admit, robust=True)
        running = running_batches(run_id).values_list("celery_id", flat=True)
        if ids := [str(celery_id) for celery_id in running]:
            transaction.on_commit(partial(revoke, ids, "SIGUSR1"))
        else:
            join_open(run_id)
            finish_run(run_id, Run.Status.CANCELLED)
    return True


def running_batches(run_id: int) -> QuerySet[Batch]:
    """Return the batches that a worker has taken."""
    return Batch.objects.filter(instruction__run=run_id, status=Batch.Status.RUNNING)


def drop_queued(run_id: int) -> None:
    """End the batches that no worker has taken, and their tasks."""
    batches = Batch.objects.filter(
        instruction__run=run_id, status=Batch.Status.QUEUED
    ).select_related("instruction")
    for batch in batches:
        queued = Batch.objects.filter(pk=batch.pk, status=Batch.Status.QUEUED)
        if queued.update(status=Batch.Status.FINISHED, ended_at=timezone.now()):
            finish_tasks(
                run_id,
                open_tasks(batch),
                Status.CANCELLED,
                message="Cancelled before it began.",
            )


def open_tasks(batch: Batch) -> QuerySet[Task]:
    """Return the tasks of a batch that have not ended."""
    return Task.objects.filter(
        instruction=batch.instruction_id,
        host=batch.host,
        status__in=(Task.Status.WAITING, Task.Status.RUNNING),
    ).select_related("instruction")


def join_open(run_id: int) -> None:
    """Join the instruction that runs, if all its batches are over."""
    running = Instruction.objects.filter(run=run_id, status=Instruction.Status.RUNNING)
    for instruction_id in list(running.values_list("pk", flat=True)):
        join(instruction_id)


def conclude_cancel(run_id: int) -> bool:
    """End a cancelling run whose batches are all over, after the proof."""
    run = Run.objects.select_related("testbed").defer("plan").get(pk=run_id)
    active = Batch.objects.filter(instruction__run=run_id, status__in=Batch.ACTIVE)
    if run.status != Run.Status.CANCELLING or active.exists():
        return False
    join_open(run_id)
    hosts = Batch.objects.filter(instruction__run=run_id).values_list("host", flat=True)
    places = {(host, host, run.tag) for host in hosts}
    places |= {(left["host"], left["machine"], left["tag"]) for left in run.leftovers}
    leftovers = end_processes(run, sorted(places))
    return finish_run(run_id, Run.Status.CANCELLED, leftovers=leftovers)


def places_of(batch: Batch) -> list[Place]:
    """Return where a batch may have started processes: its host, and its guests.

    Only guests whose task is not over count; call it before the tasks are ended.
    """
    tag = f"{batch.instruction.run.tag}b{batch.pk}."
    places = [(batch.host, batch.host, tag)]
    if batch.instruction.kind in ENTERS_GUESTS:
        guests = open_tasks(batch).values_list("resource", flat=True)
        places += [(batch.host, guest, tag) for guest in guests]
    return places


def end_processes(run: Run, places: Iterable[Place]) -> list[Leftover]:
    """End the processes with a tag on each (host, machine, tag); return survivors.

    The mirror port of a capture is removed after them.
    """
    places = list(places)
    try:
        state = run.testbed.project.read_known()
    except StateError as exc:
        return [_unknown(place, exc.message) for place in places]
    end = partial(_end_processes, state, has_mirror=run.has_mirror)
    with ThreadPoolExecutor(max(1, min(len(places), 16))) as pool:
        found = list(pool.map(end, places))
    for ended, _ in found:
        if ended is not None:
            record_ended(run.pk, [ended])
    return [leftover for _, leftovers in found for leftover in leftovers]


def record_ended(run_id: int, proofs: Iterable[Ended]) -> None:
    """Report to the user which processes were seen to end, and which were not."""
    for proof in proofs:
        if proof.found:
            names = ", ".join(f"{p.name} ({p.pid})" for p in proof.found)
            record(
                run_id,
                Event.Kind.LOG,
                text=f"Ended on {proof.machine}: {names}",
                machine=proof.machine,
                found=[[p.pid, p.name] for p in proof.found],
                survivors=[[p.pid, p.name] for p in proof.survivors],
            )


def survivors(host: str, tag: str, proofs: Iterable[Ended]) -> list[Leftover]:
    """Return the processes that survived."""
    return [
        Leftover(
            host=host, machine=proof.machine, tag=tag, pid=left.pid, name=left.name
        )
        for proof in proofs
        for left in proof.survivors
    ]


def _end_processes(
    state: State, place: Place, *, has_mirror: bool
) -> tuple[Ended | None, list[Leftover]]:
    host, machine, tag = place
    try:
        transport = worker.machine(state, host, machine)
        ended = transport.end(tag)
        if has_mirror:
            mirrors.delete(transport, tag, scope=Scope())  # a prefix is no tag
    except TestbedError as exc:
        reason = exc.message
    except (KeyError, StopIteration, OSError) as exc:
        reason = f"not known any more: {exc}"
    else:
        return ended, survivors(host, tag, [ended])
    if worker.is_off(state, host, machine):
        return Ended(machine, (), ()), []
    return None, [_unknown(place, reason)]


def _unknown(place: Place, reason: str) -> Leftover:
    host, machine, tag = place
    return Leftover(host=host, machine=machine, tag=tag, pid=0, name=reason)
