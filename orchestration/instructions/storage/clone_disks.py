"""Makes clones' disks together: the first one's task makes all of its host.

Used by `disks.py` where several clones of one golden image are made on a host. Each
task still reports its own disk, so a failed or existing disk is reported as usual. A
worker that dies before all tasks have reported leaves disks without a record: the next
`up` finds them, never started, and records them.
"""

import threading
from dataclasses import dataclass, field
from pathlib import PurePosixPath

from orchestration.instructions.task import Task
from orchestration.providers.images.overlays import create_overlays
from orchestration.state.model import GuestState

# One command for the template and one for each clone take no longer.
WORTH_IT = 4
KEPT = 64


@dataclass(slots=True)
class _Together:
    """The disks over one image in one batch: awaited ones, seen ones, results."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    awaited: set[str] = field(default_factory=set)
    seen: set[str] = field(default_factory=set)
    made: set[str] = field(default_factory=set)


_lock = threading.Lock()
_batches: dict[tuple[str, str, str], _Together] = {}


def make_together(task: Task, guest: GuestState, backing_format: str) -> bool | None:
    """Return whether a clone's disk was made, with its peers'; None: not a clone here.

    False: the disk existed before. Raises: as `create_overlays`.
    """
    image = guest.image
    is_alone = not image.golden or task.peers < WORTH_IT
    if is_alone or not task.host.state.keeps_images:
        return None
    together = _together(task, image.path)
    name = PurePosixPath(guest.disk).name
    together.awaited.add(name)
    with together.lock:
        task.scope.check_cancelled()
        if name not in together.seen:
            names = _names(task, guest, together)
            create_overlays(
                task.host.transport,
                guest.artefacts_dir,
                names,
                backing=image.path,
                backing_format=backing_format,
                on_made=together.made.add,
                scope=task.scope,
            )
            together.seen.update(names)
            together.awaited.difference_update(names)
        was_made = name in together.made
        together.seen.discard(name)  # each is reported once
        together.made.discard(name)
        return was_made


def _names(task: Task, guest: GuestState, together: _Together) -> list[str]:
    """Return the disks to make: of all clones over the same image on this host.

    With `provision` each task deletes its own old disk first. Only the disks of waiting
    tasks are made then: those that arrived while the previous disks were made.
    """
    if task.options.provision:
        return sorted(together.awaited)
    return [
        PurePosixPath(peer.disk).name
        for peer in task.state.guests
        if (peer.host, peer.image.path) == (guest.host, guest.image.path)
    ]


def _together(task: Task, image: str) -> _Together:
    """Return what the tasks of one batch share; their tags differ in the last part."""
    batch = task.scope.tag.rpartition("t")[0]
    key = (batch, task.resource.host, image)
    with _lock:
        while len(_batches) >= KEPT and key not in _batches:
            del _batches[next(iter(_batches))]
        return _batches.setdefault(key, _Together())
