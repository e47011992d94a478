"""Lists the snapshots of all marked domains of a host, for the periodic look.

One call finds the domains that have any. libvirt reports no event of a snapshot, so the
names and the current one are asked for each time (three short calls for each of these
domains), and the texts, of 10 KB each, only where these changed.
"""

import xml.etree.ElementTree as ET
from collections.abc import Collection, Mapping
from dataclasses import dataclass

import libvirt

from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.ownership import mark_of
from orchestration.providers.libvirt.snapshots.text import Snapshot, writable_disks
from orchestration.providers.libvirt.snapshots.verbs import current_of, snapshots_of

# Testbed and guest.
Owner = tuple[str, str]
_WITH_SNAPSHOTS = libvirt.VIR_CONNECT_LIST_DOMAINS_HAS_SNAPSHOT


@dataclass(frozen=True, slots=True)
class Seen:
    """The snapshots of one guest; `signature` changes with their names and the current.

    `snapshots` is None where the signature was known. `disks` are its writable files.
    """

    owner: Owner
    signature: str
    snapshots: tuple[Snapshot, ...] | None = None
    disks: tuple[str, ...] = ()


def observe(conn: Connection, known: Mapping[Owner, str]) -> tuple[Seen, ...]:
    """List the guests that have snapshots; `known` has the signatures of some.

    Raises: HostUnreachable, LibvirtFailed.
    """

    def work(handle: libvirt.virConnect) -> tuple[Seen, ...]:
        domains = handle.listAllDomains(_WITH_SNAPSHOTS)
        return tuple(filter(None, (_seen(domain, known) for domain in domains)))

    return conn.call("list the snapshots of its domains", work)


def _seen(domain: libvirt.virDomain, known: Mapping[Owner, str]) -> Seen | None:
    """Return a domain's snapshots; None for a foreign domain, or one that just went."""
    try:
        mark = mark_of(domain)
        if not (mark.testbed and mark.guest):
            return None
        owner = (mark.testbed, mark.guest)
        signature = _signature(current_of(domain), domain.snapshotListNames())
        if known.get(owner) == signature:
            return Seen(owner, signature)
        # From libvirtd, which has parsed and printed it itself.
        root = ET.fromstring(domain.XMLDesc())  # nosec B314  # noqa: S314
        disks = tuple(file for file, _ in writable_disks(root))
        return Seen(owner, signature, snapshots_of(domain), disks)
    except libvirt.libvirtError as error:
        gone = (libvirt.VIR_ERR_NO_DOMAIN, libvirt.VIR_ERR_NO_DOMAIN_SNAPSHOT)
        if error.get_error_code() in gone:
            return None
        raise


def _signature(current: str, names: Collection[str]) -> str:
    return "\n".join((current, *sorted(names)))
