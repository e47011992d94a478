"""Verbs of a guest's snapshots: look, create, restore, delete, rename, keep, give back.

Each looks up the guest's own domain (`ownership.py`) in the call that acts. libvirt
pauses a guest, stores it and resumes it within one call, so that no worker that dies
leaves a guest paused. `obstacles.py` says beforehand what cannot be done.
"""

import logging
import xml.etree.ElementTree as ET
from dataclasses import dataclass, replace

import libvirt

from orchestration.providers.libvirt.connection import Connection, is_test_driver
from orchestration.providers.libvirt.facts.domains import DomainStatus
from orchestration.providers.libvirt.ownership import GuestDomain, call_on, lookup
from orchestration.providers.libvirt.snapshots import text
from orchestration.providers.libvirt.snapshots.text import Label, Snapshot

logger = logging.getLogger(__name__)

_WHOLE = libvirt.VIR_DOMAIN_SNAPSHOT_XML_SECURE
# Parents come before their children.
_PARENTS_FIRST = libvirt.VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL
_REDEFINE = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_REDEFINE
_CURRENT = libvirt.VIR_DOMAIN_SNAPSHOT_CREATE_CURRENT
_CHILDREN = libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_CHILDREN
_PAUSED = libvirt.VIR_DOMAIN_SNAPSHOT_REVERT_PAUSED
_RECORD_ONLY = libvirt.VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY
_STATES = list(DomainStatus)
_AGENT = "./devices/channel/target[@name='org.qemu.guest_agent.0'][@state='connected']"


@dataclass(frozen=True, slots=True)
class Situation:
    """A guest's domain as far as its snapshots depend on it.

    `disks` are files and formats of the writable ones. `foreign` names devices with
    which QEMU stores no memory. `has_pflash`: its firmware has variables in a file.
    `has_agent`: a guest agent has opened its channel, and may answer.
    """

    status: DomainStatus
    disks: tuple[tuple[str, str], ...]
    snapshots: tuple[Snapshot, ...]
    foreign: tuple[str, ...] = ()
    has_pflash: bool = False
    has_agent: bool = False

    def named(self, name: str) -> Snapshot | None:
        """Return the snapshot of this name, which is libvirt's."""
        return next((one for one in self.snapshots if one.name == name), None)

    def below(self, name: str) -> tuple[Snapshot, ...]:
        """Return a snapshot's children, and theirs."""
        children: dict[str, list[Snapshot]] = {}
        for one in self.snapshots:
            children.setdefault(one.parent, []).append(one)
        found, waiting = [], list(children.get(name, ()))
        # Without recursion: a chain may be longer than Python's stack.
        while waiting:
            one = waiting.pop()
            found.append(one)
            waiting += children.get(one.name, ())
        return tuple(found)


@dataclass(frozen=True, slots=True)
class Record:
    """libvirt's records of a domain's snapshots, parents first; `current` may be ''."""

    texts: tuple[str, ...] = ()
    current: str = ""


def look(conn: Connection, guest: GuestDomain) -> Situation | None:
    """Return a domain's situation; None when there is no domain.

    Raises: ForeignThing, LibvirtFailed, HostUnreachable.
    """

    def work(handle: libvirt.virConnect) -> Situation | None:
        domain = lookup(handle, guest, conn.machine)
        return None if domain is None else _situation(domain)

    return conn.call(f"look at the snapshots of domain {guest.name}", work)


def create(
    conn: Connection, guest: GuestDomain, name: str, description: str, label: Label
) -> None:
    """Take a snapshot; of a domain that runs, it includes the memory.

    The domain stands still meanwhile. Raises: LibvirtFailed, HostUnreachable.
    """
    what = f"take snapshot {name} of domain {guest.name}"
    wanted = text.build(name, description, label)

    def work(domain: libvirt.virDomain) -> None:
        was_running = domain.state()[0] == libvirt.VIR_DOMAIN_RUNNING
        try:
            domain.snapshotCreateXML(wanted)
        finally:
            if was_running:
                _let_run(domain)

    call_on(conn, guest, what, work, changes=True)


def restore(
    conn: Connection, guest: GuestDomain, name: str, *, paused: bool = False
) -> None:
    """Return a domain to the state of a snapshot, running, paused or off as it was.

    One that ran is `paused` if wanted. Whatever runs is ended at once. Files that QEMU
    writes beside the disks go on. Raises: LibvirtFailed, HostUnreachable.
    """
    what = f"restore snapshot {name} of domain {guest.name}"

    def work(domain: libvirt.virDomain) -> None:
        snapshot = domain.snapshotLookupByName(name)
        found = text.read(snapshot.getXMLDesc(_WHOLE))
        if found.has_memory:
            kept = text.keeping_logs(snapshot.getXMLDesc(_WHOLE))
            _redefine(domain, kept, is_current=bool(snapshot.isCurrent()))
            snapshot = domain.snapshotLookupByName(name)
        is_to_run = found.status == DomainStatus.RUNNING and not paused
        domain.revertToSnapshot(snapshot, _PAUSED if paused and found.has_memory else 0)
        if is_to_run:
            _let_run(domain)

    call_on(conn, guest, what, work, changes=True)


def delete(
    conn: Connection, guest: GuestDomain, name: str, *, children: bool = False
) -> bool:
    """Delete a snapshot, with all below it if wanted; False when it is not there.

    Otherwise its children become its parent's. Raises: LibvirtFailed, HostUnreachable.
    """
    what = f"delete snapshot {name} of domain {guest.name}"

    def work(domain: libvirt.virDomain) -> bool:
        if name not in domain.snapshotListNames():
            return False
        domain.snapshotLookupByName(name).delete(_CHILDREN if children else 0)
        return True

    return call_on(conn, guest, what, work, changes=True)


def retitle(conn: Connection, guest: GuestDomain, name: str, title: str) -> None:
    """Write another title into a snapshot's record.

    Its name stays: the disk knows it by that. Raises: LibvirtFailed, HostUnreachable.
    """
    what = f"rename snapshot {name} of domain {guest.name}"

    def work(domain: libvirt.virDomain) -> None:
        snapshot = domain.snapshotLookupByName(name)
        wanted = text.relabelled(snapshot.getXMLDesc(_WHOLE), title)
        _redefine(domain, wanted, is_current=bool(snapshot.isCurrent()))

    call_on(conn, guest, what, work, changes=True)


def note_running(conn: Connection, guest: GuestDomain, name: str) -> None:
    """Note in a snapshot's record that the domain was paused for it alone.

    Raises: LibvirtFailed, HostUnreachable.
    """
    what = f"write the record of snapshot {name} of domain {guest.name}"

    def work(domain: libvirt.virDomain) -> None:
        snapshot = domain.snapshotLookupByName(name)
        wanted = text.as_running(snapshot.getXMLDesc(_WHOLE))
        _redefine(domain, wanted, is_current=bool(snapshot.isCurrent()))

    call_on(conn, guest, what, work, changes=True)


def resume(conn: Connection, guest: GuestDomain) -> bool:
    """Resume a domain if it is paused; return whether it was.

    Raises: LibvirtFailed, HostUnreachable.
    """

    def work(domain: libvirt.virDomain) -> bool:
        if domain.state()[0] != libvirt.VIR_DOMAIN_PAUSED:
            return False
        domain.resume()
        return True

    return call_on(conn, guest, f"resume domain {guest.name}", work, changes=True)


def record_of(conn: Connection, guest: GuestDomain) -> Record:
    """Return libvirt's records, which go with a domain's definition."""

    def work(domain: libvirt.virDomain) -> Record:
        found = domain.listAllSnapshots(_PARENTS_FIRST)
        texts = tuple(one.getXMLDesc(_WHOLE) for one in found)
        return Record(texts, current_of(domain) if texts else "")

    return call_on(conn, guest, f"read the snapshots of domain {guest.name}", work)


def give_back(conn: Connection, guest: GuestDomain, record: Record) -> tuple[str, ...]:
    """Give a domain that was defined anew the records that are missing.

    Returns the names of those that libvirt refused, with its reasons.
    """

    def work(domain: libvirt.virDomain) -> tuple[str, ...]:
        there, refused = set(domain.snapshotListNames()), []
        for one in record.texts:
            name = text.read(one).name
            if name in there:
                continue
            try:
                _redefine(domain, one, is_current=name == record.current)
            except libvirt.libvirtError as error:
                refused.append(f"{name}: {error}")
        return tuple(refused)

    what = f"give domain {guest.name} its snapshots back"
    return call_on(conn, guest, what, work, changes=True)


def forget(conn: Connection, guest: GuestDomain) -> int:
    """Remove the records of snapshots whose disk goes; return their number."""

    def work(handle: libvirt.virConnect) -> int:
        domain = lookup(handle, guest, conn.machine)
        if domain is None:
            return 0
        found = domain.listAllSnapshots()
        for snapshot in found:
            snapshot.delete(0 if is_test_driver(handle) else _RECORD_ONLY)
        return len(found)

    what = f"forget the snapshots of domain {guest.name}"
    return conn.call(what, work, changes=True)


def _situation(domain: libvirt.virDomain) -> Situation:
    # From libvirtd, which has parsed and printed it itself.
    root = ET.fromstring(domain.XMLDesc())  # nosec B314  # noqa: S314
    state = domain.state()[0]
    return Situation(
        _STATES[state] if state < len(_STATES) else DomainStatus.UNKNOWN,
        text.writable_disks(root),
        snapshots_of(domain),
        tuple(_foreign(root)),
        root.find("./os/loader[@type='pflash']") is not None,
        root.find(_AGENT) is not None,
    )


def snapshots_of(domain: libvirt.virDomain) -> tuple[Snapshot, ...]:
    """Return a domain's snapshots, parents first."""
    current = current_of(domain)
    found = (
        text.read(one.getXMLDesc(_WHOLE))
        for one in domain.listAllSnapshots(_PARENTS_FIRST)
    )
    return tuple(replace(one, is_current=one.name == current) for one in found)


def _foreign(domain: ET.Element) -> list[str]:
    named = {"hostdev": "a device of its host", "filesystem": "a shared folder"}
    return [
        words
        for tag, words in named.items()
        if domain.find(f"./devices/{tag}") is not None
    ]


def current_of(domain: libvirt.virDomain) -> str:
    return (
        str(domain.snapshotCurrent().getName()) if domain.hasCurrentSnapshot() else ""
    )


def _redefine(domain: libvirt.virDomain, wanted: str, *, is_current: bool) -> None:
    domain.snapshotCreateXML(wanted, _REDEFINE | (_CURRENT if is_current else 0))


def _let_run(domain: libvirt.virDomain) -> None:
    """Resume a domain that libvirt paused for a snapshot and left so."""
    try:
        if domain.state()[0] == libvirt.VIR_DOMAIN_PAUSED:
            logger.warning("%s was left paused, and is resumed", domain.name())
            domain.resume()
    except libvirt.libvirtError as error:
        logger.warning("%s may be paused: %s", domain.name(), error)
