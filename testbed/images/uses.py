"""Finds the testbeds that need a saved image: by their states, and by its owner's YAMLs.

A state needs an image of which a guest is made, or over which a disk lies; that of an Up
in the queue counts as well. A YAML without a state holds nobody's image but its owner's:
it gets the error of an unknown name. Files that did not change are not read again, so
that a second call is quick enough for a transaction.
"""

import re
from functools import lru_cache
from pathlib import Path

from orchestration.compose.language.schema import CloudImage, Libvirt
from orchestration.compose.loader import load_spec
from orchestration.errors import StateError
from orchestration.inventory.image_uses import claims
from orchestration.project.folder import Project, Stamp, read_yaml
from testbed.models import PlannedStart, SavedImage, Testbed

# States are large, and few of them name such a file at all.
_SAVED = re.compile(rb"own-[0-9a-f]{16}\.qcow2")
_KEPT = 4096


def users_of(image: SavedImage) -> list[Testbed]:
    """Return the testbeds whose state has an image, and its owner's that name it."""
    queued = PlannedStart.objects.queued()
    return [
        testbed
        for testbed in Testbed.objects.select_related("owner").order_by("name")
        if _has(testbed, image, queued.get(testbed.pk)) or _names(testbed, image)
    ]


def _has(testbed: Testbed, image: SavedImage, queued: int | None) -> bool:
    project = testbed.project
    return image.file in _files_in(project.directory, project.stamps(), queued)


@lru_cache(maxsize=_KEPT)
def _files_in(
    directory: Path, stamps: tuple[Stamp, ...], queued: int | None
) -> frozenset[str]:
    """Return the files of images that a testbed's states need, none of unreadable ones.

    `queued` is the run in the queue that will write a state of its own. The sweep keeps
    every file while a state cannot be read.
    """
    project = Project(directory)
    # First: an Up that begins meanwhile writes its state before it forgets the planned.
    planned = PlannedStart.objects.states_of(queued) if queued else ()
    written = (project.state_file, project.markers_file, project.deployed_file)
    if not planned and not any(_SAVED.search(_bytes_of(path)) for path in written):
        return frozenset()
    try:
        needed = claims((*project.read_all(), *planned))
    except StateError:
        return frozenset()
    return frozenset(name for _, name in needed.uses)


def _names(testbed: Testbed, image: SavedImage) -> bool:
    if testbed.owner_id != image.owner_id:
        return False
    path = testbed.project.yaml
    try:
        found = path.stat()
    except OSError:
        return False
    stamp = (found.st_ino, found.st_size, found.st_mtime_ns)
    return image.name in _named_in(path, stamp)


@lru_cache(maxsize=_KEPT)
def _named_in(path: Path, stamp: Stamp) -> frozenset[str]:
    """Return the names of images in a YAML; `stamp` identifies the file's version."""
    kinds = (one.machine.kind for one in load_spec(read_yaml(path)).draft.machines)
    disks = (kind.libvirt_type for kind in kinds if isinstance(kind, Libvirt))
    return frozenset(disk.name for disk in disks if isinstance(disk, CloudImage))


def _bytes_of(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""
