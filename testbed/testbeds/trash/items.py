"""The rows of the trash: made by deletions, removed after some days or on request.

A row is committed before its folder is in the trash, and deleted before the folder is
removed. Nothing here brings anything back: see `restoring`.
"""

import logging
from collections.abc import Iterable
from datetime import timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.utils import timezone

from testbed.models import Testbed, TrashItem
from testbed.models.trash import TrashQuerySet
from testbed.testbeds.erasure.losses import (
    Erasure,
    Loss,
    Sort,
    require_confirmed,
)
from testbed.testbeds.stored_files import list_files
from testbed.testbeds.trash.folders import keys_there, new_key, remove_unkept

logger = logging.getLogger(__name__)
# Of one user; above them the oldest go. Empty files take no bytes of a quota.
MOST_ITEMS, MOST_FILES = 500, 50_000
EMPTY_TRASH = "empty-trash"
# A worker that dies between row and folder leaves a row that brings nothing back.
LOST_AFTER = timedelta(hours=1)


def keep_testbed(testbed: Testbed, user: User) -> TrashItem | None:
    """Make the row that keeps a testbed's files; None where nothing is to be kept."""
    files = list_files(testbed)
    if not (files and settings.TRASH_DAYS):
        return None
    saved = testbed.saved_commands.values("name", "execution", "saved_by")
    commands = [dict[str, object](command) for command in saved]
    tags = [tag.name for tag in testbed.tags.all()]
    words = {"description": testbed.description, "tags": tags}
    return _keep(testbed, user, files.values(), commands=commands, **words)


def keep_file(testbed: Testbed, path: str, user: User | None) -> TrashItem | None:
    """Make the row that keeps one file; None where files are not kept.

    Without a user it was a fetch that removed the file.
    """
    if not settings.TRASH_DAYS:
        return None
    return _keep(testbed, user, [list_files(testbed)[path]], path=path)


def erased_from_trash(items: Iterable[TrashItem]) -> Erasure:
    """Return what is erased when these items are removed now."""
    losses = tuple(
        Loss(Sort.TRASH, item.thing, size_bytes=item.size_bytes, version=item.key)
        for item in items
    )
    return Erasure(EMPTY_TRASH, "", losses)


def remove_items(items: TrashQuerySet, user: User, *, confirm: str = "") -> int:
    """Remove these items for good; return how many it were. Raises: Unconfirmed."""
    found = list(items.all())  # as they are now
    require_confirmed(erased_from_trash(found), confirm)
    for item in found:
        logger.info("%s removes the %s from the trash", user, item.thing)
    return _remove(found)


def remove_old_items() -> int:
    """Remove the items that were long enough in the trash, and rows without a thing."""
    now, there = timezone.now(), keys_there()
    old = TrashItem.objects.filter(
        deleted_at__lte=now - timedelta(days=settings.TRASH_DAYS)
    )
    lost = TrashItem.objects.filter(deleted_at__lte=now - LOST_AFTER)
    return _remove([*old, *(item for item in lost if item.key not in there)])


def _keep(
    testbed: Testbed,
    user: User | None,
    sizes: Iterable[int],
    **values: object,
) -> TrashItem:
    found = list(sizes)
    item = TrashItem.objects.create(
        owner=testbed.owner,
        key=new_key(),
        slug=testbed.name,
        origin=testbed.pk,
        size_bytes=sum(found),
        files=len(found),
        deleted_by=user,
        **values,
    )
    _trim(testbed.owner)
    return item


def _trim(owner: User) -> None:
    """Delete a user's oldest rows above the limits; the newest one stays.

    A worker removes their folders, when the caller's transaction was committed.
    """
    files, above = 0, list[int]()
    rows = TrashItem.objects.filter(owner=owner).order_by("-pk")
    for number, (pk, count) in enumerate(rows.values_list("pk", "files")):
        files += count
        if number and (number >= MOST_ITEMS or files > MOST_FILES):
            above.append(pk)
    TrashItem.objects.filter(pk__in=above).delete()


def _remove(items: Iterable[TrashItem]) -> int:
    """Delete rows, then their folders; return how many rows it were."""
    keys = {item.key for item in items}
    TrashItem.objects.filter(key__in=keys).delete()
    remove_unkept(keys)
    return len(keys)
