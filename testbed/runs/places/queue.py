"""The queue of runs that wait to begin: for others of their account, or for their hosts.

`creation` stores each run that starts guests as waiting, and calls `start_waiting`; the
workers do it at each run's end, and the sweeper. The rows are all there is: whatever
process dies, the queue goes on. Turns are decided under the lock that plans share, so
that two processes never give away the same place. A run that waited is driven by the
server; its plan is the one that was made when it was asked for.
"""

import sys
from collections import Counter
from collections.abc import Collection, Mapping
from datetime import timedelta
from functools import partial

from django.db import transaction
from django.utils import timezone

from orchestration.errors import StateError
from orchestration.plan.model import Kind
from orchestration.state.placement import Taken
from testbed.access.limits import account_of, limits_of, name_of
from testbed.celery import request_driver
from testbed.models import Event, Run, Task, Testbed
from testbed.models.runs import RunQuerySet
from testbed.runs.dispatch import drive
from testbed.runs.places.turns import Rest, Turn, Waiting, turns
from testbed.runs.recorder import record
from testbed.testbeds.capacity import (
    GuestNeed,
    added_to_hosts,
    held_needs,
    needs_in,
    rest_of_hosts,
    wait_for_other_plans,
)
from testbed.testbeds.quotas import lowered_for

# A testbed that is up has no known end: nothing is kept for a run for ever.
KEPT_FOR = timedelta(hours=1)


def start_waiting(new: Run | None = None) -> int:
    """Start the runs whose turn it is; return how many they are.

    `new` is the run that is being made: its driver may still be its client.
    """
    if not Run.objects.waiting().exists():
        return 0
    with transaction.atomic():
        wait_for_other_plans()
        # One that is being cancelled is locked, and no longer waits; on a testbed that is
        # locked a command may be about to begin, which the run has to wait for.
        rows = Run.objects.waiting().select_for_update(
            of=("self", "testbed"), no_key=True, skip_locked=True
        )
        waiting = {run.pk: run for run in _with_accounts(rows)}
        started = 0
        for turn in _turns(waiting.values()):
            run = waiting[turn.run]
            # Those that started count by now: a lowered quota may have nothing left.
            if turn.obstacle or (started and _waiting(run).held_up):
                continue
            _start(run, is_new=new is not None and run.pk == new.pk)
            started += 1
    return started


def turn_of(run: Run) -> Turn | None:
    """Return a run's turn; None when it does not wait."""
    if run.has_begun:
        return None
    found = _turns(_with_accounts(Run.objects.waiting()))
    return next((turn for turn in found if turn.run == run.pk), None)


def obstacle_for(testbed: Testbed, adds: Mapping[str, Taken]) -> str:
    """Say why an Up that adds so much to its hosts would wait now; or ''."""
    last = Waiting(sys.maxsize, name_of(account_of(testbed)), adds)
    found = _turns(_with_accounts(Run.objects.waiting()), last=last, of=testbed)
    return next(turn.obstacle for turn in found if turn.run == last.run)


def _with_accounts(runs: RunQuerySet) -> list[Run]:
    related = ("testbed__owner", "testbed__charged_group")
    return list(runs.select_related(*related).defer("plan").order_by("pk"))


def _turns(
    runs: Collection[Run], *, last: Waiting | None = None, of: Testbed | None = None
) -> list[Turn]:
    """Return the turns of runs, and of one more of a testbed that is not asked for."""
    if not runs and last is None:
        return []
    at_work = Counter(
        name_of(account_of(run.testbed))
        for run in _with_accounts(Run.objects.changing().begun())
    )
    testbeds = [run.testbed for run in runs] + ([of] if of else [])
    accounts = set(map(account_of, testbeds))
    left = {
        name_of(account): limits_of(account).runs - at_work[name_of(account)]
        for account in accounts
    }
    waiting = [*map(_waiting, runs), *([last] if last else [])]
    return turns(waiting, Rest(left, rest_of_hosts()))


def _waiting(run: Run) -> Waiting:
    """Return what a run adds to its hosts, and what besides the queue holds it up."""
    testbed = run.testbed
    wanted, held = _wanted(run), held_needs(testbed)
    adds = added_to_hosts(wanted, held)
    held_up = ""
    if testbed.runs.active().begun().exists():
        held_up = "Commands or tools run on its testbed: they have to end first."
    elif adds:
        held_up = lowered_for(testbed, wanted, held)
    return Waiting(
        run.pk,
        name_of(account_of(testbed)),
        adds,
        held_up,
        keeps=run.created_at > timezone.now() - KEPT_FOR,
    )


def _wanted(run: Run) -> tuple[GuestNeed, ...]:
    """Return the needs of the guests that a run starts, and of those that run."""
    try:
        state = run.testbed.project.read_state()
    except StateError:  # it fails by itself, with the reason
        return ()
    started = Task.objects.filter(
        instruction__run=run, instruction__kind=Kind.START_GUESTS
    )
    names = set(started.values_list("resource", flat=True))
    names |= {one.name for one in held_needs(run.testbed)}
    return tuple(one for one in needs_in(state) if one.name in names)


def _start(run: Run, *, is_new: bool) -> None:
    """Let a run begin; without a client of its own the server drives it."""
    waits = Run.objects.waiting().filter(pk=run.pk, cancel_requested_at=None)
    driver = Run.Driver.NOBODY if is_new else Run.Driver.SERVER
    if not waits.update(status=Run.Status.PENDING, driver=driver):
        return
    if is_new:
        transaction.on_commit(partial(request_driver, run.pk))
        return
    waited = f"{timezone.now() - run.created_at}".split(".", maxsplit=1)[0]
    record(run.pk, Event.Kind.LOG, text=f"Its turn came after {waited} h.")
    transaction.on_commit(partial(drive, run.pk), robust=True)
