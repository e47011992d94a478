"""Ends testbeds: a group snapshot where the owner chose it, then Down; both are runs.

Down keeps disks, files and snapshots. A run is made in one transaction with its row of
the end, so that a sweeper that dies makes none, or one. A run of another waits for
nothing: the end waits for it. Failed attempts are repeated a few times, each later than
the one before. Where no snapshot can be taken, the testbed is stopped without, unless
it is protected: then it stays up.
"""

import logging
from datetime import datetime, timedelta

from django.db import transaction
from django.utils import timezone

from orchestration.errors import TestbedBusy, TestbedError
from orchestration.plan.model import Command
from orchestration.plan.snapshots import SnapshotVerb, SnapshotWish
from testbed.access.permissions import Act
from testbed.access.record import write_on_testbed
from testbed.models import Entry, Expiry, Run, Testbed
from testbed.models.runs import SYSTEM
from testbed.runs.creation import create_run, create_snapshot
from testbed.runs.dispatch import SERVER, hand_over
from testbed.runs.places.tools import end_tools

logger = logging.getLogger(__name__)
ALL_GUESTS = "@all"
MOST_SNAPSHOTS = 3
MOST_STOPS = 5
COUNTED = ("run", "tries", "tried_at", "is_stored", "said")
FIRST_WAIT = timedelta(minutes=5)
WITHOUT = "It is stopped without a snapshot; its disks stay."
LATER_WITHOUT = (
    f"After attempt {MOST_SNAPSHOTS} it is stopped without a snapshot; disks stay."
)
STAYS_UP = (
    "It is protected, and stays up: what its guests have in memory would be lost. Take a "
    "snapshot, extend it, or use Down."
)
NO_MORE = "It is not tried again: use Down, or extend it."
UNEXPECTED = "an unexpected error happened; the server's log has it"


def end(testbed: Testbed, now: datetime) -> Run | None:
    """Begin what is next of a testbed's end; None where that waits, or is over."""
    try:
        with transaction.atomic():
            expiry = _locked(testbed.pk)
            if expiry is None or not _take_result(expiry, now):
                return None
            end_tools(expiry.testbed, None)
        with transaction.atomic():
            expiry = _locked(testbed.pk)
            return _begin(expiry, now) if expiry and _is_next(expiry, now) else None
    except TestbedBusy as exc:
        _say(testbed, f"It waits: {exc.message}")
    except TestbedError as exc:
        _fail(testbed, exc.sentence, now)
    except Exception:  # the other testbeds end all the same
        logger.exception("the end of %s", testbed)
        _fail(testbed, UNEXPECTED, now)
    return None


def _locked(pk: int) -> Expiry | None:
    """Lock a testbed and return its end; None when one of them is gone."""
    rows = Testbed.objects.select_for_update(of=("self",)).select_related("owner")
    testbed = rows.filter(pk=pk).first()
    expiry = Expiry.objects.select_related("run").filter(testbed=pk).first()
    if testbed is None or expiry is None:
        return None
    expiry.testbed = testbed
    return expiry


def _is_next(expiry: Expiry, now: datetime) -> bool:
    """Return whether an attempt is to be made now."""
    is_up = expiry.testbed.condition in Testbed.DEPLOYED
    if not is_up or not expiry.is_due(now) or expiry.run is not None:
        return False
    if expiry.tries >= _most(expiry):
        return False
    if expiry.tried_at is None or not expiry.tries:
        return True
    wait = FIRST_WAIT * 2 ** (expiry.tries - 1)
    return not expiry.tried_at <= now < expiry.tried_at + wait


def _take_result(expiry: Expiry, now: datetime) -> bool:
    """Note how the last attempt ended; return whether another one is next."""
    if expiry.run is not None and expiry.run.is_over:
        run, expiry.run = expiry.run, None
        if run.status == Run.Status.SUCCEEDED:
            expiry.is_stored, expiry.tries, expiry.said = True, 0, ""
        else:
            _count(expiry, f"run {run.pk}: {run.message}", now)
    if (
        _is_storing(expiry)
        and expiry.tries >= MOST_SNAPSHOTS
        and not _protected(expiry)
    ):
        expiry.is_stored, expiry.tries = True, 0
        expiry.said = f"{expiry.said.removesuffix(STAYS_UP).strip()} {WITHOUT}"
    expiry.save(update_fields=COUNTED)
    return _is_next(expiry, now)


def _begin(expiry: Expiry, now: datetime) -> Run:
    """Make the run that is next. Raises: as `create_run` and `create_snapshot`."""
    testbed, owner = expiry.testbed, expiry.testbed.owner
    if _is_storing(expiry):
        name = f"end-{timezone.localtime(now):%Y%m%d-%H%M%S}"
        wish = SnapshotWish(SnapshotVerb.CREATE, name, SYSTEM, is_group=True)
        run = create_snapshot(testbed, owner, wish, ALL_GUESTS)
        act, what = Act.SNAPSHOT, wish.sentence
    else:
        run = create_run(testbed, owner, Command.DOWN)
        act, what = Act.UP, "Down"
    Run.objects.filter(pk=run.pk).update(asked_as=SYSTEM)
    Expiry.objects.filter(pk=expiry.pk).update(run=run)
    started = Entry.Outcome.STARTED
    what = f"{what}, at its end"
    write_on_testbed(None, act.name.lower(), testbed, what, run=run, outcome=started)
    hand_over(run.pk, SERVER)  # no client comes
    return run


def _is_storing(expiry: Expiry) -> bool:
    return expiry.action == Expiry.Action.SNAPSHOT and not expiry.is_stored


def _most(expiry: Expiry) -> int:
    return MOST_SNAPSHOTS if _is_storing(expiry) else MOST_STOPS


def _protected(expiry: Expiry) -> bool:
    return expiry.testbed.protections.exists()


def _count(expiry: Expiry, problem: str, now: datetime) -> None:
    """Count a failed attempt, and say what follows."""
    what = "The snapshot" if _is_storing(expiry) else "Down"
    expiry.tries, expiry.tried_at = expiry.tries + 1, now
    most = _most(expiry)
    said = f"{what} failed, attempt {expiry.tries} of {most}: {problem}"
    if expiry.tries < most:
        wait = FIRST_WAIT * 2 ** (expiry.tries - 1)
        said = f"{said} It is tried again after {wait // timedelta(minutes=1)} min."
        if _is_storing(expiry) and not _protected(expiry):
            said = f"{said} {LATER_WITHOUT}"
    elif not _is_storing(expiry):
        said = f"{said} {NO_MORE}"
    elif _protected(expiry):
        said = f"{said} {STAYS_UP}"
    expiry.said = said
    logger.warning("%s: %s", expiry, said)


def _fail(testbed: Testbed, problem: str, now: datetime) -> None:
    with transaction.atomic():
        expiry = _locked(testbed.pk)
        if expiry is not None:
            _count(expiry, problem, now)
            expiry.save(update_fields=COUNTED)


def _say(testbed: Testbed, said: str) -> None:
    Expiry.objects.filter(testbed=testbed.pk).update(said=said)
