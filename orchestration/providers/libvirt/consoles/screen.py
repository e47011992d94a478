"""The screen of a running guest: QEMU's VNC server, on a socket of QEMU's user.

`Hosts.open_screen` connects to it for the console gateway. On main libvirt hands over a
connected socket; elsewhere it only says where the socket is.
"""

import os
import socket
import xml.etree.ElementTree as ET

import libvirt

from orchestration.errors import ConsoleUnavailable
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.consoles.running import require_running
from orchestration.providers.libvirt.ownership import GuestDomain


def open_on_main(conn: Connection, guest: GuestDomain) -> socket.socket:
    """Return a connection to the screen of a guest on this machine.

    Raises: ConsoleUnavailable (the guest is off, or has no screen), ForeignThing,
    LibvirtFailed, HostUnreachable.
    """

    def opened(handle: libvirt.virConnect) -> int:
        domain = require_running(handle, guest, conn.machine)
        _require_vnc(domain, guest, conn.machine)
        fd: int = domain.openGraphicsFD(0, 0)
        return fd

    fd = conn.call(f"open the screen of domain {guest.name}", opened)
    try:
        return socket.socket(fileno=fd)
    except OSError:
        os.close(fd)
        raise


def socket_path(conn: Connection, guest: GuestDomain) -> str:
    """Return the path of a guest's screen on its host. Raises: as `open_on_main`."""

    def found(handle: libvirt.virConnect) -> str:
        domain = require_running(handle, guest, conn.machine)
        listen = _require_vnc(domain, guest, conn.machine).find("listen[@socket]")
        if listen is None:
            raise _missing(guest, conn.machine)
        return listen.get("socket", "")

    return conn.call(f"look for the screen of domain {guest.name}", found)


def _require_vnc(
    domain: libvirt.virDomain, guest: GuestDomain, machine: str
) -> ET.Element:
    """Return the screen's element. Raises: ConsoleUnavailable."""
    root = ET.fromstring(domain.XMLDesc())  # nosec B314  # noqa: S314 - libvirt's text
    # openGraphicsFD counts the elements: the first is the one that our XML has.
    graphics = root.find("devices/graphics")
    if graphics is None or graphics.get("type") != "vnc":
        raise _missing(guest, machine)
    return graphics


def _missing(guest: GuestDomain, machine: str) -> ConsoleUnavailable:
    return ConsoleUnavailable(
        f"Guest {guest.guest} has no screen: its definition on {machine} lacks it, or is "
        "not the testbed's.",
        hint="Down and Up define it anew. By hand, in `virsh edit "
        f"{guest.name}`: <graphics type='vnc'><listen type='socket'/></graphics>.",
    )
