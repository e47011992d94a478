"""Finds a guest's domain on a host, and refuses every domain that is not the guest's.

All verbs of domains look theirs up here, in the call that acts: by the uuid, or by the
name where no domain has the uuid. Either way the domain must carry the mark of the
testbed and the guest; names of two testbeds, or of a testbed and something else on the
host, may coincide.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import libvirt

from orchestration.errors import ForeignThing
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.xml.metadata import NAMESPACE, Mark, parse_mark
from orchestration.state.model import GuestState

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class GuestDomain:
    """The domain of a guest; `uuid` is empty where only its name is known."""

    testbed: str
    guest: str
    name: str
    uuid: str = ""


def domain_of(testbed: str, guest: GuestState) -> GuestDomain:
    """Return the domain that a state has for a guest."""
    return GuestDomain(testbed, guest.name, guest.domain, guest.uuid)


def require(
    handle: libvirt.virConnect, domain: GuestDomain, machine: str
) -> libvirt.virDomain:
    """Return a guest's domain.

    Raises: ForeignThing (the uuid or the name is that of another domain),
    libvirtError (there is none).
    """
    found = _by_uuid(handle, domain.uuid) or handle.lookupByName(domain.name)
    mark = mark_of(found)
    if (mark.testbed, mark.guest) != (domain.testbed, domain.guest):
        raise ForeignThing(f"domain {found.name()}", machine, owner=_owner(mark))
    return found


def lookup(
    handle: libvirt.virConnect, domain: GuestDomain, machine: str
) -> libvirt.virDomain | None:
    """Return a guest's domain; None when there is none. Raises: ForeignThing."""
    try:
        return require(handle, domain, machine)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def call_on(
    conn: Connection,
    domain: GuestDomain,
    what: str,
    work: Callable[[libvirt.virDomain], T],
    *,
    changes: bool = False,
) -> T:
    """Run `work` on a guest's domain, which must be there; `what` as for `call`.

    Raises: ForeignThing, LibvirtFailed, HostUnreachable.
    """
    return conn.call(
        what,
        lambda handle: work(require(handle, domain, conn.machine)),
        changes=changes,
    )


def mark_of(domain: libvirt.virDomain) -> Mark:
    """Return a domain's mark, which is empty for a foreign one."""
    try:
        text = domain.metadata(libvirt.VIR_DOMAIN_METADATA_ELEMENT, NAMESPACE)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN_METADATA:
            return Mark()
        raise
    return parse_mark(text)


def _by_uuid(handle: libvirt.virConnect, uuid: str) -> libvirt.virDomain | None:
    if not uuid:
        return None
    try:
        return handle.lookupByUUIDString(uuid)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_DOMAIN:
            return None
        raise


def _owner(mark: Mark) -> str:
    guest = f"guest {mark.guest} of " if mark.guest else ""
    return f"{guest}testbed {mark.testbed}" if mark.testbed else ""
