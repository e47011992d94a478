"""The running domain of a guest, or the sentence that says why there is none."""

import libvirt

from orchestration.errors import ConsoleUnavailable
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
        raise ConsoleUnavailable(f"Guest {guest.guest} is off.")
    return domain
