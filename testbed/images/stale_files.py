"""Removes files of removed guests and dead workers, and unused copies of disks.

Celery beat calls it every hour, and corrects the sums of users' files then. A testbed
with an active run, or with a state that cannot be read, is left alone. Of the images
only copies of users' disks are removed automatically, a day after their last use; an
admin deletes all others (`deletion`).
"""

import logging
from functools import partial
from pathlib import PurePosixPath

from celery import shared_task

from orchestration.hosts import Hosts
from orchestration.inventory.image_uses import Verdict
from orchestration.inventory.images import ImageKind, has_store
from orchestration.inventory.stale_files import (
    old_artefacts,
    remove_artefacts,
    stale_among,
)
from orchestration.transport.base import Scope, command
from orchestration.transport.reachable import require_answer
from testbed.celery import REMOVE_UNSAVED
from testbed.images.needs import KnownStates
from testbed.images.pruning import HostImages, Images
from testbed.models import Host, SavedImage
from testbed.testbeds.stored_files import count_all_again
from testbed.worker import ErrorsTold, kept_hosts

logger = logging.getLogger(__name__)
YOUNG_COPY_S = 24 * 3600.0


@shared_task(name="testbed.tasks.stale_files.sweep_files", ignore_result=True)
def sweep_files() -> None:
    """Remove stale files on every host that answers."""
    hosts = kept_hosts()
    sweep_files_of(hosts)
    remove_deleted(hosts)
    sweep_images_of(hosts)
    if wrong := count_all_again():
        logger.info("the sums of the files of %d testbeds were corrected", wrong)


@shared_task(name=REMOVE_UNSAVED, ignore_result=True)
def remove_unsaved(files: list[str]) -> None:
    """Remove the files of images that a run did not save, and of deleted ones."""
    known = SavedImage.objects.filter(file__in=files).values_list("file", flat=True)
    remove_files_of(kept_hosts(), sorted(set(files) - set(known)))
    remove_deleted(kept_hosts())


def remove_files_of(hosts: Hosts, files: list[str]) -> None:
    """Remove files of these names, and their parts, from the images of each host."""
    for row in Host.objects.all():
        state = row.to_state()
        if not (files and has_store(state)):
            continue
        paths = [str(PurePosixPath(state.images_dir, file)) for file in files]
        names = [f"{path}{end}" for path in paths for end in ("", ".part", ".verified")]
        remove = command("rm", "-f", "--", *names).with_root()
        tell = partial(logger.info, "%s keeps parts of images: %s", row)
        with ErrorsTold(f"The removal of images' files on {row}", tell):
            hosts.open(state).transport.run(remove, scope=Scope())


def sweep_files_of(hosts: Hosts) -> int:
    """Remove stale artefacts; return how many files were removed."""
    states, removed = KnownStates(), 0
    for row in Host.objects.all():
        tell = partial(logger.info, "%s is not swept: %s", row)
        with ErrorsTold(f"The sweep of files on {row}", tell):
            removed += _sweep_host(row, hosts, states)
    return removed


def remove_deleted(hosts: Hosts) -> None:
    """Remove the files of deleted images that nothing needs, and forget those images.

    An image counts to its owner until its file was seen to be gone: one that a disk lies
    over, or that a silent host may need, stays, and the hourly sweep tries again.
    """
    files = set(SavedImage.objects.deleted().values_list("file", flat=True))
    if not files:
        return
    images = Images(hosts)
    seen = images.observe()
    for found in seen:
        images.prune(found, lambda _, verdict: verdict.image.name in files)
    main = next((found for found in seen if found.host.is_main), None)
    if main is not None and not main.problem:
        left = {one.name for found in seen for one in found.left}
        SavedImage.objects.deleted().filter(file__in=files - left).delete()


def sweep_images_of(hosts: Hosts) -> int:
    """Remove old copies and leftovers from the images; return how many files."""
    images = Images(hosts)
    seen = images.observe()
    for found in seen:
        images.prune(found, _is_old_copy)
        images.sweep(found)
    return sum(len(found.removed) + len(found.swept) for found in seen)


def _is_old_copy(found: HostImages, verdict: Verdict) -> bool:
    image = verdict.image
    is_old = found.store.now - image.used_at > YOUNG_COPY_S
    return image.kind is ImageKind.OWN and is_old


def _sweep_host(row: Host, hosts: Hosts, states: KnownStates) -> int:
    host, scope = hosts.open(row.to_state()), Scope()
    require_answer(host.transport)
    old = old_artefacts(host, scope=scope)
    # Read after the files were listed: a run that begins later does not touch its files
    # before its first stages, and writes most of them anew.
    stale = stale_among(old, states.read().idle_guests)
    gone = remove_artefacts(host, stale, scope=scope)
    for path in gone:
        logger.info("%s: removed %s, which nothing refers to", row, path)
    return len(gone)
