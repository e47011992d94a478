"""Says before anything happens what keeps a snapshot from being taken or restored.

Pure: from a domain's situation. The instructions ask and refuse. Snapshots are internal
ones, and none is touched where an external one is in the tree: libvirt before 9.9
restores no external one, and a restore across both kinds left a guest off (seen).
"""

from collections.abc import Collection
from dataclasses import dataclass

from orchestration.amounts import count_of, mib
from orchestration.providers.libvirt.facts.domains import DomainStatus
from orchestration.providers.libvirt.snapshots.text import Snapshot
from orchestration.providers.libvirt.snapshots.verbs import Situation

QCOW2 = "qcow2"
_STORABLE = (
    DomainStatus.RUNNING,
    DomainStatus.BLOCKED,
    DomainStatus.PAUSED,
    DomainStatus.SHUT_OFF,
)


@dataclass(frozen=True, slots=True)
class Obstacle:
    """A problem that completes "Guest web on host-b …", and the next step."""

    problem: str
    hint: str


def to_all(found: Situation, disk: str) -> Obstacle | None:
    """Return what keeps a guest's snapshots from being changed at all."""
    if outside := [one.title for one in found.snapshots if one.is_external]:
        return Obstacle(
            f"has external snapshots of another program: {', '.join(outside)}",
            "Delete them with `virsh snapshot-delete` on the host: the two kinds cannot "
            "be mixed.",
        )
    others = [file for file, _ in found.disks if file != disk]
    if disk and others:
        return Obstacle(
            f"writes to {', '.join(others)}, which is not its disk of the testbed",
            # Without --shallow it would be written into the image below the disk.
            "Another program made an overlay: `virsh blockcommit DOMAIN vda --active "
            "--shallow --pivot` on the host puts it back into the disk.",
        )
    return None


def to_create(
    found: Situation, disk: str, name: str, stored: Collection[str]
) -> Obstacle | None:
    """Return what keeps a snapshot from being taken.

    `stored` are the names of those in the disk's file.
    """
    if obstacle := to_all(found, disk) or _of_machine(found):
        return obstacle
    if any(name in (one.name, one.title) for one in found.snapshots):
        return Obstacle(f"has a snapshot {name} already", "Choose another name.")
    if name in stored:
        return Obstacle(
            f"has data of a snapshot {name} in its disk that libvirt does not know",
            "Choose another name: QEMU would overwrite it.",
        )
    return None


def to_restore(
    found: Situation,
    disk: str,
    snapshot: Snapshot,
    *,
    networks: Collection[str],
    stored: Collection[str] | None,
) -> Obstacle | None:
    """Return what keeps a snapshot from being restored.

    `networks` are the bridges and networks that its host has for the testbed. `stored`
    as in `to_create`; None where files have no contents.
    """
    if obstacle := to_all(found, disk):
        return obstacle
    if snapshot.disks != tuple(file for file, _ in found.disks):
        return Obstacle(
            f"had other disks when {snapshot.title} was taken",
            "It cannot be restored: delete it.",
        )
    missing = [one for one in snapshot.networks if one not in networks]
    if missing and snapshot.status != DomainStatus.SHUT_OFF:
        return Obstacle(
            f"was connected to {', '.join(missing)} when {snapshot.title} was taken, "
            "which is gone",
            "Undo the edit of the network, use Up, then restore it.",
        )
    if stored is not None and snapshot.name not in stored:
        return Obstacle(
            f"has no data of {snapshot.title} in its disk",
            "It cannot be restored: delete it.",
        )
    return None


def to_touch(snapshot: Snapshot, *, taken: int | None) -> Obstacle | None:
    """Return what keeps a guest from an act on the snapshot that was seen.

    One that was deleted and taken again under its name is another one. `taken` is the
    time of the seen one, None where nobody had seen it.
    """
    if taken is None or snapshot.created_at == taken:
        return None
    return Obstacle(
        f"has another snapshot {snapshot.name} than the one that was chosen",
        "Look at its snapshots, and choose once more.",
    )


def to_grow(snapshot: Snapshot, *, cpus: int, memory_mib: int) -> Obstacle | None:
    """Return what keeps a guest from a snapshot of when it was larger than it is now.

    Its definition of then comes back with it, and nobody counted that.
    """
    if snapshot.cpus <= cpus and snapshot.memory_mib <= memory_mib:
        return None
    size = f"{count_of(snapshot.cpus, 'vCPU')} and {mib(snapshot.memory_mib)} of memory"
    return Obstacle(
        f"had {size} when {snapshot.title} was taken, which is more than it has now",
        "Write these into the YAML and use Up, then restore it.",
    )


def _of_machine(found: Situation) -> Obstacle | None:
    if found.status not in _STORABLE:
        return Obstacle(f"is {found.status}", "Start it, or force it off, first.")
    if not found.disks:
        return Obstacle(
            "has no disk that it can write to", "Nothing could be restored."
        )
    other = [file for file, kind in found.disks if kind != QCOW2]
    if other:
        return Obstacle(
            f"has a disk that is not qcow2: {', '.join(other)}",
            "Only qcow2 files hold snapshots.",
        )
    if found.has_pflash:
        return Obstacle(
            "has UEFI firmware whose variables are in a file of their own",
            "libvirt takes no internal snapshot of it.",
        )
    if found.foreign and found.status != DomainStatus.SHUT_OFF:
        return Obstacle(
            f"has {' and '.join(found.foreign)}, with which no memory is stored",
            "Shut it down first: then the snapshot has the disk alone.",
        )
    return None
