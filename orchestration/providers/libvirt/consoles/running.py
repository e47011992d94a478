"""The running domain of a guest, or the sentence that says why there is none."""

import libvirt

from orchestration.errors import ConsoleUnavailable
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.ownership import GuestDomain, lookup


def require_running(
    handle: libvirt.virConnect, guest: GuestDomain, machine: str
) -> libvirt.virDomain:
    """Return a guest's domain.

    Raises: ConsoleUnavailable (it does not exist or is off), ForeignThing,
    libvirtError.
    """
    domain = lookup(handle, guest, machine)
    if domain is None:
        raise ConsoleUnavailable(
            f"Guest {guest.guest} does not exist on {machine}.", hint="Use Up."
        )
    if not domain.isActive():
        raise ConsoleUnavailable(
            f"Guest {guest.guest} is off.", hint="Use Start on its page."
        )
    return domain


def look_whether_running(conn: Connection, guest: GuestDomain) -> None:
    """Raise what keeps a guest's domain from running.

    Raises: ConsoleUnavailable, ForeignThing, LibvirtFailed, HostUnreachable.
    """

    def look(handle: libvirt.virConnect) -> None:
        require_running(handle, guest, conn.machine)

    conn.call(f"look for domain {guest.name}", look)
