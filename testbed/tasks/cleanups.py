"""Deleting what an admin confirmed: a worker does it, and looks whether it is so.

Orphans are deleted here, images by `image_cleanups`.

A cleanup is claimed by a conditional UPDATE, so that a message which comes twice does
no harm. Each host is looked at anew before anything is deleted on it, and once more
afterwards; each thing is judged anew when its turn comes: what found its testbed
meanwhile stays, what is still there is named.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

from celery import shared_task
from django.db import DatabaseError, connection
from django.utils import timezone
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from orchestration.errors import StateError, TestbedError
from orchestration.hosts import Host as OpenedHost
from orchestration.inventory.orphans import Key, delete_thing
from orchestration.inventory.things import ThingKind, look
from orchestration.transport.base import Scope
from orchestration.transport.reachable import require_answer
from testbed.celery import app
from testbed.models import Cleanup, CleanupItem, Host
from testbed.tasks.ending import look_at_hosts
from testbed.tasks.image_cleanups import delete_images
from testbed.tasks.orphans import Look, Orphan, orphans_among
from testbed.tasks.worker import kept_hosts

logger = logging.getLogger(__name__)

CLEAN_UP = "testbed.tasks.cleanups.clean_up"
LOST_AFTER = timedelta(minutes=3)
# One look or one deletion may take minutes.
SEEN_EVERY_S = 20.0
SEND_AGAIN_AFTER = timedelta(seconds=20)
Status = CleanupItem.Status


def send(cleanup_id: int) -> None:
    """Hand a cleanup to a worker; one that could not be sent is sent again later."""
    try:
        app.send_task(CLEAN_UP, args=(cleanup_id,))
    except (KombuError, RedisError, OSError) as exc:
        logger.warning("cleanup %s is sent later: %s", cleanup_id, exc)


def send_cleanups_again() -> int:
    """Send the cleanups that no worker took; a double one finds nothing to claim."""
    waiting = Cleanup.objects.filter(
        status=Cleanup.Status.PENDING,
        created_at__lt=timezone.now() - SEND_AGAIN_AFTER,
    )
    found = list(waiting.values_list("pk", flat=True))
    for cleanup_id in found:
        send(cleanup_id)
    return len(found)


@shared_task(ignore_result=True)
def clean_up(cleanup_id: int) -> None:
    """Delete what a cleanup lists, host by host, and say how each thing went."""
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
            _clean_orphans(cleanup)
        _conclude(cleanup, remark)
    if not is_images:
        look_at_hosts()


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


def _clean_orphans(cleanup: Cleanup) -> None:
    for name in cleanup.items.order_by().values_list("host", flat=True).distinct():
        try:
            _clean_host(cleanup, name)
        except TestbedError as exc:
            left = cleanup.items.filter(host=name, status=Status.WAITING)
            left.update(status=Status.FAILED, message=_sentence(exc))


def end_lost_cleanups() -> int:
    """End the cleanups whose worker fell silent; asking again goes on."""
    now = timezone.now()
    lost = Cleanup.objects.filter(
        status=Cleanup.Status.RUNNING, seen_at__lt=now - LOST_AFTER
    )
    return lost.update(
        status=Cleanup.Status.FAILED,
        message="The worker that did this was lost. Delete what is left again.",
        ended_at=now,
    )


def seen_now(host: OpenedHost, scope: Scope) -> dict[Key, Orphan]:
    """Return the orphans of a host as it is now. Raises: TestbedError."""
    return _by_key(_look_at(host, scope))


def _look_at(host: OpenedHost, scope: Scope) -> Look:
    began = timezone.now()
    return Look(host.state.name, look(host, scope=scope).things, began)


def _by_key(seen: Look) -> dict[Key, Orphan]:
    return {orphan.key: orphan for orphan in orphans_among([seen])}


def _clean_host(cleanup: Cleanup, name: str) -> None:
    row = Host.objects.filter(name=name).first()
    if row is None:
        raise StateError(f"There is no host {name} any more.")
    require_answer(row.to_state())
    host, scope = kept_hosts().open(row.to_state()), Scope()
    seen = _look_at(host, scope)
    orphans = _by_key(seen)
    order = list(ThingKind)
    items = sorted(
        cleanup.items.filter(host=name), key=lambda i: order.index(ThingKind(i.kind))
    )
    has_guests = False
    for item in items:
        orphan = orphans.get((name, ThingKind(item.kind), item.name))
        if orphan and (orphan.name != cleanup.name or _came_back(orphan, seen)):
            orphan = None
        if has_guests and item.kind == ThingKind.FOLDER:
            item.status, item.message = Status.FAILED, "its guests are still there"
            item.save(update_fields=["status", "message"])
        else:
            _clean_item(host, item, orphan, scope)
        has_guests |= (item.kind, item.status) == (ThingKind.DOMAIN, Status.FAILED)
    _confirm(cleanup, name, seen_now(host, scope))


def _clean_item(
    host: OpenedHost, item: CleanupItem, orphan: Orphan | None, scope: Scope
) -> None:
    if orphan is None:
        item.status = Status.UNCHANGED
        item.message = "is gone, or belongs to a testbed again"
    else:
        try:
            deleted = delete_thing(host, orphan.thing, scope=scope)
            item.status = Status.UNCHANGED
            item.message = "went with what it hung from"
            if deleted:
                item.status, item.message = Status.DONE, ""
        except TestbedError as exc:
            item.status = Status.FAILED
            item.message = _sentence(exc)
    item.save(update_fields=["status", "message"])


def _came_back(orphan: Orphan, seen: Look) -> bool:
    """Say whether the thing found its testbed since the look.

    The testbed was adopted, or a run began that may use it again.
    """
    return not orphans_among([replace(seen, things=(orphan.thing,))])


def _confirm(cleanup: Cleanup, host: str, orphans: dict[Key, Orphan]) -> None:
    """Say of each thing that is still there that it is."""
    for item in cleanup.items.filter(host=host).exclude(status=Status.FAILED):
        still = orphans.get((host, ThingKind(item.kind), item.name))
        if still is not None and still.name == cleanup.name:
            item.status = Status.FAILED
            item.message = "is still there"
            item.save(update_fields=["status", "message"])


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


def _sentence(exc: TestbedError) -> str:
    return f"{exc.message} {exc.hint}".strip()
