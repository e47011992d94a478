"""Deletes the things that an admin confirmed, in a worker, and checks the result.

`orphans.deletion` deletes orphans, `images.deletion` images. A cleanup is claimed by a
conditional UPDATE, so that a message that arrives twice does no harm.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

from celery import shared_task
from django.db import DatabaseError, connection
from django.utils import timezone

from testbed.celery import request_cleanup, request_observation
from testbed.images.deletion import delete_images
from testbed.models import Cleanup, CleanupItem
from testbed.orphans.deletion import delete_listed
from testbed.worker import kept_hosts

logger = logging.getLogger(__name__)

LOST_AFTER = timedelta(minutes=3)
# One look or one deletion may take minutes.
SEEN_EVERY_S = 20.0
SEND_AGAIN_AFTER = timedelta(seconds=20)
Status = CleanupItem.Status


def send_cleanups_again() -> int:
    """Send the cleanups that no worker took; a duplicate finds nothing to claim."""
    waiting = Cleanup.objects.filter(
        status=Cleanup.Status.PENDING,
        created_at__lt=timezone.now() - SEND_AGAIN_AFTER,
    )
    found = list(waiting.values_list("pk", flat=True))
    for cleanup_id in found:
        request_cleanup(cleanup_id)
    return len(found)


@shared_task(name="testbed.tasks.cleanups.clean_up", ignore_result=True)
def clean_up(cleanup_id: int) -> None:
    """Delete the things that a cleanup lists, host by host, and save each outcome."""
    now = timezone.now()
    claimed = Cleanup.objects.filter(
        pk=cleanup_id, status=Cleanup.Status.PENDING
    ).update(status=Cleanup.Status.RUNNING, started_at=now, seen_at=now)
    if not claimed:
        return
    cleanup = Cleanup.objects.get(pk=cleanup_id)
    is_images, remark = cleanup.subject == Cleanup.Subject.IMAGES, ""
    with _kept(cleanup):
        if is_images:
            remark = delete_images(cleanup, kept_hosts())
        else:
            delete_listed(cleanup)
        _conclude(cleanup, remark)
    if not is_images:
        request_observation()


@contextmanager
def _kept(cleanup: Cleanup) -> Iterator[None]:
    """Renew `seen_at` for as long as the worker lives."""
    over = threading.Event()
    beat = threading.Thread(target=_beat, args=(cleanup.pk, over), daemon=True)
    beat.start()
    try:
        yield
    finally:
        over.set()
        beat.join()


def _beat(cleanup_id: int, over: threading.Event) -> None:
    while not over.wait(SEEN_EVERY_S):
        try:
            Cleanup.objects.filter(pk=cleanup_id).update(seen_at=timezone.now())
        except DatabaseError as exc:
            logger.warning("cleanup %s has to wait to be seen: %s", cleanup_id, exc)
        finally:
            connection.close()


def end_lost_cleanups() -> int:
    """End the cleanups whose worker fell silent; a new request continues them."""
    now = timezone.now()
    lost = Cleanup.objects.filter(
        status=Cleanup.Status.RUNNING, seen_at__lt=now - LOST_AFTER
    )
    return lost.update(
        status=Cleanup.Status.FAILED,
        message="The worker that did this was lost. Delete what is left again.",
        ended_at=now,
    )


def _conclude(cleanup: Cleanup, remark: str) -> None:
    failed = cleanup.items.filter(status=Status.FAILED).count()
    total = cleanup.items.count()
    status = Cleanup.Status.FAILED if failed else Cleanup.Status.SUCCEEDED
    message = (
        f"{total - failed} of {total} are gone." if failed else "All of it is gone."
    )
    Cleanup.objects.filter(pk=cleanup.pk, status=Cleanup.Status.RUNNING).update(
        status=status, message=f"{message} {remark}".strip(), ended_at=timezone.now()
    )
