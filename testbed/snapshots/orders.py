"""Starts the acts on snapshots that wait, of each testbed one at a time.

Beat calls `start_orders`, and so does the view that makes some. Rights, protections and
limits are asked again at the start, because an act may have waited for hours. An act
that is refused then says why, and the next one of its testbed follows.
"""

import logging
from datetime import timedelta
from uuid import uuid4

from celery import shared_task
from django.conf import settings
from django.db import transaction
from django.utils import timezone

from orchestration.errors import SnapshotFailed, TestbedBusy, TestbedError
from orchestration.state.selection import fold
from testbed.access.permissions import Act, NotAllowed, act_with, record_act, require
from testbed.models import LabSnapshot, Run, SnapshotOrder
from testbed.runs.creation import create_snapshot
from testbed.runs.dispatch import SERVER, hand_over

logger = logging.getLogger(__name__)
Status = SnapshotOrder.Status
UNEXPECTED = "It could not be started: an unexpected error happened."
HINT = "Give the reference {} to your administrator."


@shared_task(name="testbed.tasks.snapshots.start_orders", ignore_result=True)
def start_orders() -> None:
    """Start what can be started now."""
    start_waiting()


def start_waiting() -> int:
    """Start the first waiting act of each testbed; return how many were started."""
    waiting = SnapshotOrder.objects.filter(status=Status.WAITING).order_by("pk")
    by_testbed: dict[int, list[int]] = {}
    for pk, testbed in waiting.values_list("pk", "testbed"):
        by_testbed.setdefault(testbed, []).append(pk)
    return sum(_start_first(orders) for orders in by_testbed.values())


def forget_old_orders() -> int:
    """Delete the records of acts that started or were refused long ago."""
    if not settings.KEEP_RUNS_DAYS:
        return 0
    limit = timezone.now() - timedelta(days=settings.KEEP_RUNS_DAYS)
    old = SnapshotOrder.objects.filter(created_at__lt=limit)
    return old.exclude(status=Status.WAITING).delete()[0]


def _start_first(orders: list[int]) -> bool:
    """Start the first of a testbed's acts that is not refused."""
    for pk in orders:
        try:
            if _start(pk):
                return True
        except TestbedBusy:
            return False
        except NotAllowed as exc:
            _refuse(pk, exc.problem)
        except TestbedError as exc:
            _refuse(pk, exc)
        except Exception:  # the acts behind it are started
            reference = uuid4().hex[:8]
            logger.exception("act %d on snapshots, reference %s", pk, reference)
            _refuse(pk, TestbedError(UNEXPECTED, hint=HINT.format(reference)))
    return False


def _start(pk: int) -> Run | None:
    """Make an act's run; None when another process started it.

    Raises: TestbedBusy, NotAllowed, and as `create_snapshot`.
    """
    with transaction.atomic():
        rows = SnapshotOrder.objects.select_for_update(of=("self",))
        rows = rows.select_related("testbed__owner", "asked_by")
        order = rows.filter(pk=pk, status=Status.WAITING).first()
        if order is None:
            return None
        user, testbed, wish = order.asked_by, order.testbed, order.wish
        require(user, act_with(wish.verb), testbed)
        if order.schedule:
            require(user, Act.SCHEDULE_SNAPSHOTS, testbed)
        _require_chosen(order)
        selection = fold(order.guests)
        order.run = create_snapshot(testbed, user, wish, selection, leaves=order.leaves)
        order.status = Status.STARTED
        order.save(update_fields=["run", "status"])
        hand_over(order.run.pk, SERVER)  # no client comes
    what = f"{wish.sentence} of {selection}"
    record_act(user, act_with(wish.verb), testbed, what, run=order.run)
    return order.run


def _require_chosen(order: SnapshotOrder) -> None:
    """Refuse an act on a snapshot that was deleted and taken again meanwhile.

    The run compares with libvirt's record once more. Raises: SnapshotFailed.
    """
    rows = LabSnapshot.objects.filter(
        guest__testbed=order.testbed, guest__name__in=order.taken, name=order.name
    )
    for guest, created_s in rows.values_list("guest__name", "created_s"):
        if created_s != order.taken[guest]:
            raise SnapshotFailed(
                f"{guest} has another snapshot {order.name} than the one that was chosen.",
                hint="Look at its snapshots, and choose once more.",
            )


def _refuse(pk: int, problem: TestbedError) -> None:
    waiting = SnapshotOrder.objects.filter(pk=pk, status=Status.WAITING)
    waiting.update(status=Status.REFUSED, message=problem.sentence)
    logger.info("act %d on snapshots was refused: %s", pk, problem.sentence)
