"""Makes the disks of a host's clones, those over one golden image by one command.

`create_clones` in `disks.py` follows: it reports and records each clone's disk. A worker
that dies in between leaves disks without a record: the next `up` finds them, never
started, and records them.
"""

from collections import defaultdict
from pathlib import PurePosixPath

from orchestration.amounts import count_of
from orchestration.instructions.storage.disks import discard_disk, source_of
from orchestration.instructions.storage.snapshots import forget_records
from orchestration.instructions.task import Outcome, Task, done, unchanged
from orchestration.project.host_keys import forget_disk
from orchestration.providers.images.overlays import create_overlays
from orchestration.providers.libvirt import domains
from orchestration.state.model import GuestState, Markers


def create_clone_disks(task: Task) -> Outcome:
    """Make the clones' disks on one host; `provision` makes them anew.

    All of the host's, or only those that the command is for. A clone that runs has its disk, or lost it: then `create_clones` refuses.
    Raises: as `create_overlays`.
    """
    clones = _clones(task)
    if task.options.provision:
        for clone in clones:
            discard_disk(task, clone)
    if not task.host.state.keeps_images:
        return unchanged("each is made by itself")
    running = _running(task)
    over: dict[str, list[GuestState]] = defaultdict(list)
    for clone in clones:
        if clone.name not in running:
            over[clone.image.path].append(clone)
    made = sum(_create(task, some) for some in over.values())
    return done(count_of(made, "disk")) if made else unchanged()


def _clones(task: Task) -> tuple[GuestState, ...]:
    found, chosen = task.state.clones_on(task.resource.key), task.options.guests
    return tuple(c for c in found if c.name in chosen) if chosen else found


def _running(task: Task) -> set[str]:
    """Return the names of the testbed's guests that run on the host."""
    found = domains.observe(task.host.libvirt)
    return {d.guest for d in found if d.is_active and d.testbed == task.state.testbed}


def _create(task: Task, clones: list[GuestState]) -> int:
    """Make the missing disks over one image; return their number."""
    names = {PurePosixPath(clone.disk).name: clone for clone in clones}
    made: list[str] = []
    source = source_of(task, clones[0])
    try:
        create_overlays(
            task.host.transport,
            clones[0].artefacts_dir,
            list(names),
            backing=source.layer.path,
            backing_format=source.layer.format,
            on_made=made.append,
            size_bytes=source.virtual_bytes,
            scope=task.scope,
        )
    finally:  # some may be there although others failed
        for name in made:
            _forget_marks(task, names[name])
    return len(made)


def _forget_marks(task: Task, clone: GuestState) -> None:
    """Forget the marks of a disk that was lost: they are not the new one's."""
    if clone.markers != Markers():
        forget_disk(task.project, clone.name)
    forget_records(task, clone)
