"""Reads the snapshots of a host's guests, with the sizes that only the disks know.

The web's periodic look calls it and keeps the result. Of a guest that is down, pages
read the records that are kept meanwhile. libvirt's list is cheap; the size
of a stored memory and of the disk costs a `qemu-img` a guest, and is read only where
the list changed.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from xml.etree.ElementTree import ParseError

from orchestration.errors import ImageFailed
from orchestration.hosts import Host
from orchestration.project.folder import Project
from orchestration.project.snapshots import kept
from orchestration.providers.images import qemu_img
from orchestration.providers.libvirt.snapshots import listing
from orchestration.providers.libvirt.snapshots import text as snapshot_text
from orchestration.providers.libvirt.snapshots.listing import Owner, Seen
from orchestration.providers.libvirt.snapshots.text import Snapshot
from orchestration.transport.base import Scope

logger = logging.getLogger(__name__)


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


def kept_snapshots(project: Project, guest: str) -> tuple[Snapshot, ...]:
    """Return the snapshots of a guest that is down, from the records kept meanwhile.

    A record that cannot be read is left out: libvirt would not take it back.
    """
    record = kept(project, guest)
    found = []
    for text in record.texts:
        try:
            one = snapshot_text.read(text)
        except (ParseError, ValueError) as exc:
            logger.warning("a kept snapshot of %s in %s: %s", guest, project, exc)
            continue
        memory_bytes = record.memory_bytes.get(one.name, 0)
        is_current = one.name == record.current
        found.append(replace(one, memory_bytes=memory_bytes, is_current=is_current))
    return tuple(found)


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
