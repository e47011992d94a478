"""Assigns devices to PCI Express ports, and adds free ports.

`xml/domain.py` calls it. libvirt adds as many ports as devices need and one more; a
device that is plugged in while a guest runs needs a port from the guest's start. A port
must exist before a device can be pinned to it, hence all of them are written out.
"""

import xml.etree.ElementTree as ET

from orchestration.compose.language.schema import DiskBus
from orchestration.state.diff.interfaces import HOTPLUG_ROOM
from orchestration.state.model import GuestState

# A machine that has PCI Express, and one that has IDE.
EXPRESS, WITH_IDE = "q35", "pc"
# The channels' controller, the random numbers and the memory balloon.
HELPERS = 3


def machine_of(guest: GuestState) -> str:
    """Return the board of a guest: IDE is only on the one without ports."""
    return WITH_IDE if guest.disk_bus is DiskBus.IDE else EXPRESS


def add_ports(devices: ET.Element, guest: GuestState) -> None:
    """Add a port for each device that needs one, and HOTPLUG_ROOM free ones.

    Without PCI Express every slot takes a device at any time.
    """
    if machine_of(guest) != EXPRESS:
        return
    is_on_port = not guest.is_cdrom and guest.disk_bus is not DiskBus.SATA
    disks = [guest.disk and is_on_port, guest.seed, guest.management]
    used = len(guest.interfaces) + sum(map(bool, disks)) + HELPERS
    for index in range(1, used + HOTPLUG_ROOM + 1):
        ET.SubElement(
            devices,
            "controller",
            type="pci",
            index=str(index),
            model="pcie-root-port",
        )


def pin(device: ET.Element, slot: int, guest: GuestState) -> None:
    """Pin a device to port `slot`: guests see their devices in that order.

    Without ports libvirt gives slots in the order of the text.
    """
    if machine_of(guest) != EXPRESS:
        return
    ET.SubElement(
        device,
        "address",
        type="pci",
        domain="0x0000",
        bus=f"0x{slot:02x}",
        slot="0x00",
        function="0x0",
    )
