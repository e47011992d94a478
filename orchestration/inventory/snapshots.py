"""Reads the snapshots of a host's guests, with the sizes that only the disks know.

The web's periodic look calls it and keeps the result. libvirt's list is cheap; the size
of a stored memory and of the disk costs a `qemu-img` a guest, and is read only where
the list changed.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from orchestration.errors import ImageFailed
from orchestration.hosts import Host
from orchestration.providers.images import qemu_img
from orchestration.providers.libvirt.snapshots import listing
from orchestration.providers.libvirt.snapshots.listing import Owner, Seen
from orchestration.providers.libvirt.snapshots.text import Snapshot
from orchestration.transport.base import Scope


@dataclass(frozen=True, slots=True)
class GuestSnapshots:
    """The snapshots of one guest; None where they are as known.

    `disk_bytes` is what its disk takes with them, 0 where nobody could read it.
    """

    owner: Owner
    signature: str
    snapshots: tuple[Snapshot, ...] | None
    disk_bytes: int = 0


def observe(
    host: Host, known: Mapping[Owner, str], *, scope: Scope
) -> tuple[GuestSnapshots, ...]:
    """Read a host's snapshots. Raises: HostUnreachable, LibvirtFailed."""
    found = listing.observe(host.libvirt, known)
    return tuple(_measured(host, seen, scope) for seen in found)


def _measured(host: Host, seen: Seen, scope: Scope) -> GuestSnapshots:
    plain = GuestSnapshots(seen.owner, seen.signature, seen.snapshots)
    if seen.snapshots is None or not (seen.disks and host.state.keeps_images):
        return plain
    try:
        disk = qemu_img.info(
            host.transport, seen.disks[0], image_format="qcow2", scope=scope
        )
    except ImageFailed:
        return plain
    sized = (
        replace(one, memory_bytes=disk.snapshots.get(one.name, 0))
        for one in seen.snapshots
    )
    return replace(plain, snapshots=tuple(sized), disk_bytes=disk.actual_size_bytes)
