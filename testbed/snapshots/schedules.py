"""Takes snapshots by schedules, and deletes the oldest ones that schedules took.

Beat calls `take_snapshots` for each occasion, and the housekeeping `order_deletions`.
All is done in the name of the user who set the schedule, and only while that user still
may set one. While a run is on, an occasion is skipped; the schedule's row says why.
A snapshot has its schedule in libvirt's record: retention touches no other, and none
that a user renamed.
"""

import logging
from collections.abc import Iterator
from datetime import timedelta

from celery import shared_task
from django.contrib.auth.models import User
from django.db import transaction
from django.db.models import Q, QuerySet
from django.utils import timezone

from orchestration.errors import TestbedBusy, TestbedError
from orchestration.plan.snapshots import Rhythm, SnapshotVerb, SnapshotWish
from orchestration.providers.libvirt.snapshots.text import Snapshot
from testbed.access.permissions import Act, NotAllowed, may, record_act, require
from testbed.models import (
    ObservedSnapshots,
    Run,
    SnapshotOrder,
    SnapshotSchedule,
    Testbed,
)
from testbed.models.protection import WHOLE_TESTBED
from testbed.models.snapshots.schedules import TAKE_SNAPSHOTS, TWICE_WITHIN_MIN
from testbed.runs.creation import create_snapshot
from testbed.runs.dispatch import SERVER, hand_over
from testbed.testbeds.erasure.losses import Erasure, require_confirmed, snapshot_loss
from testbed.testbeds.executions import matched

logger = logging.getLogger(__name__)
# It stays where the worker dies: the run before is not that of this occasion.
BEGUN = "Begun by a worker that said no more."
ALL_GUESTS = "@all"


@shared_task(name=TAKE_SNAPSHOTS, ignore_result=True)
def take_snapshots(testbed: int, rhythm: str) -> None:
    """Take a snapshot of each guest, or say on the schedule why not."""
    take(testbed, rhythm)


def take(testbed: int, rhythm: str) -> Run | None:
    """Start the run of one occasion; None where it is skipped."""
    schedule = _begun(testbed, rhythm)
    if schedule is None:
        return None
    run, said = None, ""
    try:
        run = _started(schedule)
    except NotAllowed:
        said = f"Skipped: {schedule.set_by}, who set it, may no longer do so."
    except TestbedBusy as exc:
        said = f"Skipped: {exc.message}"
        if _is_beside_another(schedule):
            _wish_later(schedule)
            said = "Waits for the end of another schedule's run."
    except TestbedError as exc:
        said = f"Skipped: {exc.sentence}"
    if said:
        logger.info("%s: %s", schedule, said)
    SnapshotSchedule.objects.filter(pk=schedule.pk).update(run=run, said=said)
    return run


def set_schedule(schedule: SnapshotSchedule, user: User, *, confirm: str = "") -> None:
    """Save a schedule in a user's name; one of the same rhythm is changed to it.

    Raises: Unconfirmed (there are more snapshots of its rhythm than it keeps).
    """
    with transaction.atomic():
        Testbed.objects.select_for_update().get(pk=schedule.testbed.pk)
        require_confirmed(_erased_by(schedule), confirm)
        known = SnapshotSchedule.objects.filter(testbed=schedule.testbed)
        if old := known.filter(rhythm=schedule.rhythm).first():
            for name in ("every_h", "at", "weekday", "keep"):
                setattr(old, name, getattr(schedule, name))
            schedule = old
        schedule.set_by, schedule.set_at = user, timezone.now()
        schedule.set_time()
        # They follow from the number before, and are ordered anew where due.
        waiting = _waiting(schedule.testbed, schedule.rhythm)
        waiting.filter(verb=SnapshotVerb.DELETE.value).delete()
    what = f"snapshots {schedule.when}, the last {schedule.keep} of each guest stay"
    record_act(user, Act.SCHEDULE_SNAPSHOTS, schedule.testbed, what)


def remove_schedule(testbed: Testbed, rhythm: str, user: User) -> bool:
    """Remove a schedule, and leave its snapshots; return whether there was one."""
    found = SnapshotSchedule.objects.filter(testbed=testbed, rhythm=rhythm).first()
    if found is None:
        return False
    with transaction.atomic():
        found.delete()
        _waiting(testbed, rhythm).delete()
    record_act(user, Act.SCHEDULE_SNAPSHOTS, testbed, f"no more {rhythm} snapshots")
    return True


def order_deletions() -> int:
    """Order the deletion of what is above the number to keep; return how many."""
    people = ("testbed__owner", "set_by")
    schedules = SnapshotSchedule.objects.select_related(*people)
    return sum(_order_deletions(schedule) for schedule in schedules)


def _erased_by(schedule: SnapshotSchedule) -> Erasure:
    """Return the snapshots that are above the number as soon as it is set."""
    losses = tuple(
        snapshot_loss(row.name, row.host, one) for row, one in _above(schedule)
    )
    return Erasure(f"{schedule.rhythm} schedule", str(schedule.testbed.pk), losses)


def _waiting(testbed: Testbed, rhythm: str) -> QuerySet[SnapshotOrder]:
    """Return the acts of a schedule that wait for their turn."""
    return SnapshotOrder.objects.filter(
        testbed=testbed, schedule=rhythm, status=SnapshotOrder.Status.WAITING
    )


def _begun(testbed: int, rhythm: str) -> SnapshotSchedule | None:
    """Return the schedule whose occasion begins; None for one that was sent twice."""
    now = timezone.now()
    limit = now - timedelta(minutes=TWICE_WITHIN_MIN)
    rows = SnapshotSchedule.objects.filter(testbed=testbed, rhythm=rhythm)
    first = rows.filter(Q(tried_at=None) | Q(tried_at__lt=limit))
    if not first.update(tried_at=now, run=None, said=BEGUN):
        return None
    return rows.select_related("testbed__owner", "set_by").first()


def _started(schedule: SnapshotSchedule) -> Run:
    """Start the run that takes one snapshot of each guest.

    Raises: NotAllowed, and as `create_snapshot`.
    """
    user, testbed = schedule.set_by, schedule.testbed
    require(user, Act.SCHEDULE_SNAPSHOTS, testbed)
    wish = SnapshotWish(
        SnapshotVerb.CREATE,
        _name(schedule),
        user.get_username(),
        schedule=schedule.rhythm,
    )
    run = create_snapshot(testbed, user, wish, ALL_GUESTS)
    record_act(
        user, Act.SNAPSHOT, testbed, f"{wish.sentence}, by its schedule", run=run
    )
    hand_over(run.pk, SERVER)  # no client comes
    return run


def _is_beside_another(schedule: SnapshotSchedule) -> bool:
    """Return whether the run that is on was asked for by a schedule."""
    testbed: Testbed = schedule.testbed
    changing = testbed.runs.changing()
    return changing.filter(options__schedule__in=list(Rhythm)).exists()


def _wish_later(schedule: SnapshotSchedule) -> None:
    SnapshotOrder.objects.create(
        testbed=schedule.testbed,
        verb=SnapshotVerb.CREATE.value,
        name=_name(schedule),
        guests=matched(schedule.testbed, ALL_GUESTS),
        asked_by=schedule.set_by,
        schedule=schedule.rhythm,
    )


def _name(schedule: SnapshotSchedule) -> str:
    return f"{schedule.rhythm}-{timezone.localtime():%Y%m%d-%H%M}"


def _order_deletions(schedule: SnapshotSchedule) -> int:
    user, testbed = schedule.set_by, schedule.testbed
    if not may(user, Act.SCHEDULE_SNAPSHOTS, testbed) or _is_unseen(testbed):
        return 0
    # One attempt an occasion: a deletion that fails is not repeated every minute.
    since = schedule.tried_at or schedule.set_at
    orders = testbed.snapshot_orders.filter(schedule=schedule.rhythm)
    recent = orders.filter(Q(status="waiting") | Q(created_at__gt=since))
    known = set(recent.values_list("name", flat=True))
    above: dict[str, dict[str, int]] = {}
    for row, one in _above(schedule):
        if one.name not in known:
            above.setdefault(one.name, {})[row.name] = one.created_at
    for name, taken in above.items():
        SnapshotOrder.objects.create(
            testbed=testbed,
            verb=SnapshotVerb.DELETE.value,
            name=name,
            guests=list(taken),
            taken=taken,
            asked_by=user,
            schedule=schedule.rhythm,
        )
    return len(above)


def _above(
    schedule: SnapshotSchedule,
) -> Iterator[tuple[ObservedSnapshots, Snapshot]]:
    """Yield each snapshot that is above the number with its guest's row, oldest first.

    Those of protected guests stay, and those that a user gave another name.
    """
    testbed: Testbed = schedule.testbed
    protected = set(testbed.protections.values_list("guest", flat=True))
    for row in testbed.observed_snapshots.all():
        if protected & {WHOLE_TESTBED, row.name}:
            continue
        taken = (o for o in row.read() if o.label.schedule == schedule.rhythm)
        own = [one for one in taken if not one.label.title]
        own.sort(key=lambda one: (one.created_at, one.name))
        gone = own[: max(0, len(own) - schedule.keep)]
        yield from ((row, one) for one in gone if not one.is_external)


def _is_unseen(testbed: Testbed) -> bool:
    """Return whether a run on snapshots is on, or ended after the last reading."""
    runs = testbed.runs.filter(command="snapshot")
    if runs.active().exists():
        return True
    last = runs.order_by("-ended_at").values_list("ended_at", flat=True).first()
    return bool(last) and testbed.observed_snapshots.filter(read_at__lt=last).exists()
