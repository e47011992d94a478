"""The queue of runs that wait to begin: for others of their account, or for their hosts.

`creation` stores each run that starts guests as waiting, and calls `start_waiting`; the
workers do it at each run's end, and the sweeper. The rows are all there is: whatever
process dies, the queue goes on. Turns are decided under the lock that plans share, so
that two processes never give away the same place. A run that waited is driven by the
server; its plan is the one that was made when it was asked for. Its state is written when
it begins. Each call asks the same number of queries, however many runs wait.
"""

import sys
from collections.abc import Collection, Mapping
from datetime import timedelta
from functools import partial

from django.db import transaction
from django.utils import timezone

from orchestration.amounts import duration
from orchestration.errors import TestbedError
from orchestration.plan.model import Command
from orchestration.plan.selected import WAYS, Mode
from orchestration.state.placement import Taken
from orchestration.state.versions import load_state
from testbed.access.limits import account_of, key_of, require_membership
from testbed.access.permissions import act_of_command, act_up, may
from testbed.celery import request_driver
from testbed.models import Event, PlannedStart, Run, Testbed
from testbed.models.hosts import wait_for_other_plans
from testbed.models.runs import RunQuerySet
from testbed.reservations.notes import notes_on
from testbed.runs.dispatch import drive
from testbed.runs.outcome import finish_run
from testbed.runs.places.turns import Rest, Turn, Waiting, turns
from testbed.runs.recorder import record
from testbed.testbeds.capacity import (
    Counted,
    Lab,
    added_to_hosts,
    by_host,
    needs_of_rows,
    rest_of_hosts,
    set_started,
)
from testbed.testbeds.planning import write
from testbed.testbeds.quotas import drained_hosts, is_above_quota, too_small

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
        for turn in _turns(waiting.values(), Lab()):
            run = waiting[turn.run]
            # Those that started count by now: a lowered quota may have nothing left.
            if turn.obstacle or (started and _held_up([run], Lab())[run.pk]):
                continue
            started += _start(run, is_new=new is not None and run.pk == new.pk)
    return started


def turn_of(run: Run) -> Turn | None:
    """Return a run's turn; None when it does not wait."""
    if run.has_begun:
        return None
    found = _turns(_with_accounts(Run.objects.waiting()), Lab())
    return next((turn for turn in found if turn.run == run.pk), None)


def obstacle_for(testbed: Testbed, adds: Mapping[str, Taken], lab: Lab) -> str:
    """Say why an Up that adds so much to its hosts would wait now; or ''."""
    last = Waiting(
        sys.maxsize,
        key_of(account_of(testbed)),
        adds,
        owner=testbed.owner_id,
        group=testbed.charged_group_id,
    )
    is_any = any(one.wanted for one in lab.counted)
    waiting = _with_accounts(Run.objects.waiting()) if is_any else []
    found = _turns(waiting, lab, last)
    return next(turn.obstacle for turn in found if turn.run == last.run)


def _with_accounts(runs: RunQuerySet) -> list[Run]:
    related = ("asked_by", "testbed__owner", "testbed__charged_group")
    return list(runs.select_related(*related).defer("plan").order_by("pk"))


def _turns(runs: Collection[Run], lab: Lab, *others: Waiting) -> list[Turn]:
    """Return the turns of runs, and of others that are not asked for yet."""
    if not runs and not others:
        return []
    by_testbed = {one.testbed: one for one in lab.counted}
    # Without a lock a run may have come or gone between two queries.
    runs = [run for run in runs if run.testbed_id in by_testbed]
    held_up = _held_up(runs, lab)
    waiting = [
        _waiting(run, by_testbed[run.testbed_id], held_up[run.pk]) for run in runs
    ]
    waiting += others
    at_work, limits = lab.runs_of, lab.limits_of({one.account for one in waiting})
    left = {key: most.runs - at_work[key] for key, most in limits.items()}
    rest = rest_of_hosts(lab.counted, lab.hosts)
    return turns(waiting, Rest(left, rest, lab.reserved))


def _waiting(run: Run, one: Counted, held_up: str) -> Waiting:
    """Return what a run adds to its hosts, and what besides the queue holds it up."""
    return Waiting(
        run.pk,
        one.account,
        added_to_hosts(one.wanted, one.held),
        held_up,
        keeps=run.created_at > timezone.now() - KEPT_FOR,
        owner=one.owner,
        group=one.group,
    )


def _held_up(runs: Collection[Run], lab: Lab) -> dict[int, str]:
    """Return what besides the queue holds each run up, by their ids; or ''."""
    if not runs:
        return {}
    by_testbed, hosts = {one.testbed: one for one in lab.counted}, lab.hosts
    limits = lab.limits_of({by_testbed[run.testbed_id].account for run in runs})
    busy = _busy(runs)
    held_up = {}
    for run in runs:
        one = by_testbed[run.testbed_id]
        reason = ""
        if run.testbed_id in busy:
            reason = "Commands or tools run on its testbed: they have to end first."
        elif not limits[one.account].runs:
            reason = "Its quota was lowered, and allows no runs."
        elif is_above_quota(one, lab.counted, limits[one.account]):
            reason = "Its quota was lowered, and has not enough left."
        elif drained := drained_hosts(hosts, one.wanted, one.held):
            reason = f"{'; '.join(host.drained_words for host in drained)}."
        elif problems := too_small(hosts, one.wanted, one.held):
            reason = f"A host became too small for it: {'; '.join(problems)}."
        held_up[run.pk] = reason
    return held_up


def _busy(runs: Collection[Run]) -> set[int]:
    testbeds = [run.testbed_id for run in runs]
    others = Run.objects.active().begun().filter(testbed__in=testbeds)
    return set(others.values_list("testbed", flat=True))


def _start(run: Run, *, is_new: bool) -> bool:
    """Let a run begin; without a client of its own the server drives it.

    One that may not begin any more is ended, with the reason.
    """
    start, testbed = PlannedStart.objects.get(run=run), run.testbed
    try:
        with transaction.atomic():
            if not is_new:
                _require_right(run)
            wanted = load_state(start.state.encode())
            write(testbed, wanted, is_change=start.is_change)
    except TestbedError as exc:
        if is_new:
            raise
        finish_run(run.pk, Run.Status.FAILED, reason=exc)
        return False
    if testbed.condition not in Testbed.DEPLOYED:
        set_started(testbed, ())
    PlannedStart.objects.filter(run=run).update(state="")
    Run.objects.filter(pk=run.pk).update(
        status=Run.Status.PENDING,
        has_begun=True,
        driver=Run.Driver.NOBODY if is_new else Run.Driver.SERVER,
    )
    needs, lab = by_host(needs_of_rows(start.needs or ())), Lab()
    for note in notes_on(testbed, needs, lab.claims, lab.hosts):
        record(run.pk, Event.Kind.LOG, text=note)
    if is_new:
        transaction.on_commit(partial(request_driver, run.pk))
        return True
    waited = duration((timezone.now() - run.created_at).total_seconds())
    record(run.pk, Event.Kind.LOG, text=f"Its turn came after {waited}.")
    transaction.on_commit(partial(drive, run.pk), robust=True)
    return True


def _require_right(run: Run) -> None:
    """Let a run begin whose user still may do it. Raises: TestbedError."""
    user, testbed = run.asked_by, run.testbed
    if not user.is_active:
        raise TestbedError(
            f"the account of {user}, who asked for it, was deactivated meanwhile.",
            hint="Press Up again, if it is still wanted.",
        )
    command = Command(run.command)
    act = act_of_command(command)
    if command is Command.UP_GUESTS:
        act = act_up(WAYS[Mode(run.options["mode"])])
    if not may(user, act, testbed):
        raise TestbedError(
            f"{user}, who asked for it, lost the right to {act} meanwhile.",
            hint="Press Up again, if it is still wanted.",
        )
    require_membership(testbed)
