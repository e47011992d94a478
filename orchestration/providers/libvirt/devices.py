"""Verbs of a running domain's devices: plug in, unplug, set a link, set the mark.

`instructions/interfaces.py` calls them. `device_text` takes a device's text out of the
whole domain's, so that it is built in one place only. libvirt cannot move a port
between Open vSwitch bridges ("unable to change config"): that is `ovs/taps.py`.
"""

import xml.etree.ElementTree as ET
from collections.abc import Callable
from dataclasses import dataclass

import libvirt

from orchestration.errors import StateError
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.ownership import GuestDomain, call_on
from orchestration.providers.libvirt.xml.metadata import NAMESPACE, Mark, mark_text

POLL_S = 0.2
# A guest that has not answered gets the request again: it may just have booted.
ASK_AGAIN_S = 10.0


@dataclass(frozen=True, slots=True, order=True)
class Device:
    """An interface by its MAC, or a disk by its target (`vdb`)."""

    kind: str
    key: str

    def find(self, domain: ET.Element) -> ET.Element | None:
        """Find it in a domain's XML."""
        found = domain.iterfind(f"./devices/{self.kind}")
        return next((one for one in found if _key(one) == self.key), None)


def interface(mac: str) -> Device:
    """Name an interface."""
    return Device("interface", mac.lower())


def disk(target: str) -> Device:
    """Name a disk."""
    return Device("disk", target)


def device_text(domain_xml: str, device: Device) -> str:
    """Return one device of a domain's text, free to be plugged in at any port.

    Raises: StateError when there is none.
    """
    element = device.find(_parse(domain_xml))
    if element is None:
        raise StateError(
            f"The domain's definition has no {device.kind} {device.key}.",
            hint="Generate the artefacts again.",
        )
    place = element.find("address")
    if place is not None:
        element.remove(place)
    return ET.tostring(element, encoding="unicode")


def plugged(conn: Connection, guest: GuestDomain) -> frozenset[Device]:
    """Return the interfaces and disks that a domain has now."""

    def work(domain: libvirt.virDomain) -> frozenset[Device]:
        root = _parse(domain.XMLDesc())
        return frozenset(
            Device(kind, _key(element))
            for kind in ("interface", "disk")
            for element in root.iterfind(f"./devices/{kind}")
        )

    return call_on(conn, guest, f"look at the devices of {guest.name}", work)


def plug(conn: Connection, guest: GuestDomain, text: str) -> None:
    """Plug a device into a running domain; its definition stays as it is."""
    call_on(
        conn,
        guest,
        f"plug a device into {guest.name}",
        lambda domain: domain.attachDeviceFlags(text, libvirt.VIR_DOMAIN_AFFECT_LIVE),
        changes=True,
    )


def unplug(
    conn: Connection,
    guest: GuestDomain,
    device: Device,
    *,
    sleep: Callable[[float], None],
    timeout_s: float,
) -> bool:
    """Ask the guest to release a device, and wait; True when it is gone.

    Every wait goes through `sleep`, which may raise Cancelled.
    """
    waited_s, next_ask_s = 0.0, 0.0
    while True:
        ask = waited_s >= next_ask_s
        if ask:
            next_ask_s += ASK_AGAIN_S
        if not _ask_or_look(conn, guest, device, ask=ask):
            return True
        if waited_s >= timeout_s:
            return False
        sleep(POLL_S)
        waited_s += POLL_S


def set_link(conn: Connection, guest: GuestDomain, mac: str, *, is_up: bool) -> None:
    """Plug the cable of an interface in or out, as the guest sees it."""

    def work(domain: libvirt.virDomain) -> None:
        element = interface(mac).find(_parse(domain.XMLDesc()))
        if element is None:
            return
        link = element.find("link")
        if link is None:
            link = ET.SubElement(element, "link")
        link.set("state", "up" if is_up else "down")
        text = ET.tostring(element, encoding="unicode")
        domain.updateDeviceFlags(text, libvirt.VIR_DOMAIN_AFFECT_LIVE)

    call_on(conn, guest, f"change a link of {guest.name}", work, changes=True)


def set_spec_hash(conn: Connection, guest: GuestDomain, spec_hash: str) -> None:
    """Write into a running domain's mark the settings with which it runs."""
    mark = Mark(guest.testbed, guest.guest, spec_hash)
    call_on(
        conn,
        guest,
        f"mark domain {guest.name}",
        lambda domain: domain.setMetadata(
            libvirt.VIR_DOMAIN_METADATA_ELEMENT,
            mark_text(mark),
            "testbed",
            NAMESPACE,
            libvirt.VIR_DOMAIN_AFFECT_LIVE,
        ),
        changes=True,
    )


def _ask_or_look(
    conn: Connection, guest: GuestDomain, device: Device, *, ask: bool
) -> bool:
    """Return whether the device is still there; request its removal if `ask`."""

    def work(domain: libvirt.virDomain) -> bool:
        element = device.find(_parse(domain.XMLDesc()))
        if element is None:
            return False
        if ask:
            text = ET.tostring(element, encoding="unicode")
            try:
                domain.detachDeviceFlags(text, libvirt.VIR_DOMAIN_AFFECT_LIVE)
            except libvirt.libvirtError:
                # The removal was requested before, or has just ended.
                return device.find(_parse(domain.XMLDesc())) is not None
        return device.find(_parse(domain.XMLDesc())) is not None

    return call_on(conn, guest, f"unplug a device of {guest.name}", work, changes=ask)


def _key(element: ET.Element) -> str:
    if element.tag == "interface":
        mac = element.find("mac")
        return "" if mac is None else mac.get("address", "").lower()
    target = element.find("target")
    return "" if target is None else target.get("dev", "")


def _parse(text: str) -> ET.Element:
    # From our own builder or from libvirtd, never from a user.
    return ET.fromstring(text)  # nosec B314  # noqa: S314
