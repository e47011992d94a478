"""Builds libvirt's XML for a guest and for a testbed's two kinds of network.

Pure: the same state always gives the same text, down to the order of attributes, so
that golden files show a change as a diff and `networks.ensure` can compare. The
artefacts folder keeps the text; `domains.define` and `networks.ensure` send it. Guests
see their interfaces in the order of the text.
"""

import hashlib
import ipaddress
import uuid
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from dataclasses import dataclass

from orchestration.compose.language.schema import DiskBus, NetworkModel
from orchestration.providers.libvirt.xml.backing import keep_owner
from orchestration.providers.libvirt.xml.metadata import NAMESPACE, Mark, build_mark
from orchestration.providers.libvirt.xml.pci import add_ports, machine_of, pin
from orchestration.state.model import (
    Datapath,
    DomainType,
    GuestState,
    HostState,
    InterfaceState,
    ManagementInterface,
    ManagementState,
    NatState,
)
from orchestration.state.model.guests import HOST_KEY_PORT
from orchestration.state.model.images import DiskOrigin

BALLOON_PERIOD_S = 10
RAW = {"type": "raw"}
# The name of a disk on each bus, and of a CD-ROM beside it.
DISK_TARGETS = {
    DiskBus.VIRTIO: "vda",
    DiskBus.SATA: "sda",
    DiskBus.SCSI: "sda",
    DiskBus.IDE: "hda",
}
CDROM_TARGETS = {
    DiskBus.VIRTIO: "sda",
    DiskBus.SATA: "sdb",
    DiskBus.SCSI: "sdb",
    DiskBus.IDE: "hdc",
}
# Windows and Linux bring a driver for it.
SCSI_MODEL = "lsisas1068"
# QEMU would let each emulated guest fill 1 GiB with translated code beside its memory.
# With these a boot takes no longer.
TRANSLATED_SHARE = 4
TRANSLATED_MIB = (32, 1024)

_UUIDS = uuid.uuid5(uuid.NAMESPACE_URL, NAMESPACE)


def build_domain(guest: GuestState, host: HostState, *, testbed: str) -> str:
    """Build the domain of a guest on its host."""
    domain = ET.Element("domain", type=host.domain_type.value)
    _text(domain, "name", guest.domain)
    _text(domain, "uuid", guest.uuid)
    domain.append(build_mark(Mark(testbed, guest.name, guest.spec_hash)))
    _text(domain, "memory", str(guest.memory_mib), unit="MiB")
    _text(domain, "vcpu", str(guest.cpus))
    _add_machine(domain, guest, host)
    devices = ET.SubElement(domain, "devices")
    _add_disks(devices, guest)
    # Interfaces are pinned to ports of their own, so that a guest's names for them
    # do not depend on its disks.
    add_ports(devices, guest)
    ET.SubElement(devices, "controller", type="usb", index="0", model="none")
    for slot, interface in enumerate(guest.interfaces, start=1):
        _add_interface(devices, interface, host, guest=guest, slot=slot)
    slot = len(guest.interfaces) + 1
    if guest.management is not None:
        _add_management(devices, guest.management, guest=guest, slot=slot)
    elif guest.disk_bus is DiskBus.SCSI:
        _add_scsi(devices, guest, slot=slot)
    _add_console(devices, guest)
    _add_helpers(devices)
    if guest.seed:
        _add_key_report(devices, guest)
    return _print(domain)


def build_nat_network(nat: NatState, *, testbed: str) -> str:
    """Build the NAT network: DHCP with reservations, and DNS for their names.

    dnsmasq knows one name per reservation, so all names go to its hosts file too.
    libvirt itself makes it offer the network's MTU to DHCP clients.
    """
    network = _network(nat.network)
    forward = ET.SubElement(network, "forward", mode="nat")
    ET.SubElement(ET.SubElement(forward, "nat"), "port", start="1024", end="65535")
    ET.SubElement(network, "bridge", name=nat.device, stp="off", delay="0")
    ET.SubElement(network, "mtu", size=str(nat.mtu))
    ET.SubElement(network, "domain", name=testbed, localOnly="yes")
    # Names without a dot are ours: no upstream server is asked about them.
    dns = ET.SubElement(network, "dns", forwardPlainNames="no")
    subnet = ipaddress.ip_network(nat.subnet)
    ip = ET.SubElement(network, "ip", address=nat.gateway, prefix=str(subnet.prefixlen))
    dhcp = ET.SubElement(ip, "dhcp")
    first, last = _dhcp_range(nat)
    ET.SubElement(dhcp, "range", start=first, end=last)
    _mark_network(network, testbed)
    for reservation in nat.reservations:
        host = ET.SubElement(dhcp, "host", mac=reservation.mac)
        if reservation.names:
            host.set("name", reservation.names[0])
        host.set("ip", reservation.address)
        if reservation.names:
            entry = ET.SubElement(dns, "host", ip=reservation.address)
            for name in reservation.names:
                _text(entry, "hostname", name)
    return _print(network)


def build_management_network(management: ManagementState, *, testbed: str) -> str:
    """Build the isolated network of one host: no way out, no DHCP, no DNS."""
    network = _network(management.network)
    ET.SubElement(network, "bridge", name=management.device, stp="off", delay="0")
    ET.SubElement(network, "dns", enable="no")
    subnet = ipaddress.ip_network(management.subnet)
    ET.SubElement(
        network, "ip", address=management.address, prefix=str(subnet.prefixlen)
    )
    _mark_network(network, testbed)
    return _print(network)


def interface_identity(guest: GuestState, interface: InterfaceState) -> str:
    """Return an interface's identity for the switch.

    Without it, libvirt would choose another one at random with each definition.
    """
    return str(uuid.uuid5(uuid.UUID(guest.uuid), interface.tap))


def _boot_devices(guest: GuestState) -> tuple[str, ...]:
    """Return the boot devices in order; an ISO comes before the blank disk."""
    if guest.disk_origin is not DiskOrigin.BLANK:
        return ("cdrom",) if guest.is_cdrom else ("hd",)
    return ("cdrom", "hd") if guest.disk else ("cdrom",)


def _add_machine(domain: ET.Element, guest: GuestState, host: HostState) -> None:
    """Add firmware, processor, clock and the action at power-off.

    The machine is an alias: libvirt stores the newest version that its QEMU has.
    """
    system = ET.SubElement(domain, "os")
    _text(system, "type", "hvm", arch="x86_64", machine=machine_of(guest))
    for device in _boot_devices(guest):
        ET.SubElement(system, "boot", dev=device)
    features = ET.SubElement(domain, "features")
    ET.SubElement(features, "acpi")
    ET.SubElement(features, "apic")
    # Emulation offers all that it can: newer distributions refuse a plain qemu64.
    # Multi-threaded translation is QEMU's default here.
    accelerated = host.domain_type is DomainType.KVM
    if not accelerated:
        least, most = TRANSLATED_MIB
        cache_mib = min(most, max(least, guest.memory_mib // TRANSLATED_SHARE))
        _text(ET.SubElement(features, "tcg"), "tb-cache", str(cache_mib), unit="MiB")
    ET.SubElement(domain, "cpu", mode="host-model" if accelerated else "maximum")
    clock = ET.SubElement(domain, "clock", offset="utc")
    ET.SubElement(clock, "timer", name="rtc", tickpolicy="catchup")
    ET.SubElement(clock, "timer", name="pit", tickpolicy="delay")
    ET.SubElement(clock, "timer", name="hpet", present="no")
    _text(domain, "on_poweroff", "destroy")
    _text(domain, "on_reboot", "restart")
    _text(domain, "on_crash", "destroy")


def _add_disks(devices: ET.Element, guest: GuestState) -> None:
    """Add the disk, and the seed or the ISO.

    `writeback` honours every flush of the guest, works on every file system (`none`
    fails on tmpfs), and lets clones read their golden image from one page cache. The
    layers below disks are added when the domain is defined (see `backing.py`). A user's
    ISO stays the user's.
    The seed is a virtio disk: cloud-init finds it by its label, and kernels made for
    clouds have virtio but not always AHCI (under emulation AHCI also costs 2 s).
    """
    if guest.disk:
        kept = {"type": "qcow2", "cache": "writeback", "discard": "unmap"}
        place = _cdrom_place(guest) if guest.is_cdrom else _disk_place(guest)
        readonly = guest.is_readonly
        _add_disk(devices, guest.disk, kept, place=place, is_readonly=readonly)
    if guest.seed:
        _add_disk(devices, guest.seed, RAW, place=SEED_PLACE, is_readonly=True)
    if guest.disk_origin is DiskOrigin.BLANK:
        path, place = guest.image.path, _cdrom_place(guest)
        keep_owner(_add_disk(devices, path, RAW, place=place, is_readonly=True))


@dataclass(frozen=True, slots=True)
class _Place:
    """A file's device type, target and bus in a guest."""

    device: str
    target: str
    bus: DiskBus


SEED_PLACE = _Place("disk", "vdb", DiskBus.VIRTIO)


def _disk_place(guest: GuestState) -> _Place:
    return _Place("disk", DISK_TARGETS[guest.disk_bus], guest.disk_bus)


def _cdrom_place(guest: GuestState) -> _Place:
    """Return where a CD-ROM is: on SATA, which every system knows, or on IDE."""
    is_ide = guest.disk_bus is DiskBus.IDE
    target = "sda" if guest.is_cdrom and not is_ide else CDROM_TARGETS[guest.disk_bus]
    return _Place("cdrom", target, DiskBus.IDE if is_ide else DiskBus.SATA)


def _add_disk(
    devices: ET.Element,
    path: str,
    driver: Mapping[str, str],
    *,
    place: _Place,
    is_readonly: bool,
) -> ET.Element:
    """Add a disk or a CD-ROM. Returns the element that names its file."""
    disk = ET.SubElement(devices, "disk", type="file", device=place.device)
    ET.SubElement(disk, "driver", {"name": "qemu", **driver})
    source = ET.SubElement(disk, "source", file=path)
    ET.SubElement(disk, "target", dev=place.target, bus=place.bus)
    if is_readonly:
        ET.SubElement(disk, "readonly")
    return source


def _add_interface(
    devices: ET.Element,
    interface: InterfaceState,
    host: HostState,
    *,
    guest: GuestState,
    slot: int,
) -> None:
    element = ET.SubElement(devices, "interface", type="bridge")
    ET.SubElement(element, "mac", address=interface.mac)
    ET.SubElement(element, "source", bridge=interface.device)
    port = ET.SubElement(element, "virtualport", type="openvswitch")
    identity = interface_identity(guest, interface)
    ET.SubElement(port, "parameters", interfaceid=identity)
    ET.SubElement(element, "target", dev=interface.tap)
    ET.SubElement(element, "model", type=interface.model)
    is_virtio = interface.model is NetworkModel.VIRTIO
    if host.datapath is Datapath.NETDEV and is_virtio:
        _switch_offload_off(element)
    ET.SubElement(element, "mtu", size=str(interface.mtu))
    pin(element, slot, guest)


def _switch_offload_off(interface: ET.Element) -> None:
    """Make the guest compute its checksums: the userspace datapath drops the others.

    Measured: without this ping works and TCP does not.
    """
    common = ("csum", "tso4", "tso6", "ecn", "ufo")
    driver = ET.SubElement(interface, "driver", name="qemu")
    ET.SubElement(driver, "host", dict.fromkeys((*common, "gso"), "off"))
    ET.SubElement(driver, "guest", dict.fromkeys(common, "off"))


def _add_scsi(devices: ET.Element, guest: GuestState, *, slot: int) -> None:
    controller = ET.SubElement(
        devices, "controller", type="scsi", index="0", model=SCSI_MODEL
    )
    pin(controller, slot, guest)


def _add_management(
    devices: ET.Element,
    management: ManagementInterface,
    *,
    guest: GuestState,
    slot: int,
) -> None:
    element = ET.SubElement(devices, "interface", type="network")
    ET.SubElement(element, "mac", address=management.mac)
    ET.SubElement(element, "source", network=management.network)
    ET.SubElement(element, "target", dev=management.tap)
    ET.SubElement(element, "model", type="virtio")
    ET.SubElement(element, "port", isolated="yes")
    pin(element, slot, guest)


def _add_console(devices: ET.Element, guest: GuestState) -> None:
    """Add the serial console, logged from each start, and a screen.

    The screen is a socket of QEMU's user: any account of the host could open a port.
    """
    serial = ET.SubElement(devices, "serial", type="pty")
    ET.SubElement(serial, "log", file=guest.console, append="off")
    ET.SubElement(serial, "target", port="0")
    console = ET.SubElement(devices, "console", type="pty")
    ET.SubElement(console, "target", type="serial", port="0")
    graphics = ET.SubElement(devices, "graphics", type="vnc")
    ET.SubElement(graphics, "listen", type="socket")
    ET.SubElement(ET.SubElement(devices, "video"), "model", type="vga")


def _add_helpers(devices: ET.Element) -> None:
    agent = ET.SubElement(devices, "channel", type="unix")
    ET.SubElement(agent, "target", type="virtio", name="org.qemu.guest_agent.0")
    rng = ET.SubElement(devices, "rng", model="virtio")
    _text(rng, "backend", "/dev/urandom", model="random")
    balloon = ET.SubElement(devices, "memballoon", model="virtio")
    ET.SubElement(balloon, "stats", period=str(BALLOON_PERIOD_S))


def _add_key_report(devices: ET.Element, guest: GuestState) -> None:
    """Add the port for the guest's host key; each start empties its file."""
    channel = ET.SubElement(devices, "channel", type="file")
    ET.SubElement(channel, "source", path=guest.key_report, append="off")
    ET.SubElement(channel, "target", type="virtio", name=HOST_KEY_PORT)


def _network(name: str) -> ET.Element:
    network = ET.Element("network")
    _text(network, "name", name)
    _text(network, "uuid", str(uuid.uuid5(_UUIDS, name)))
    return network


def _mark_network(network: ET.Element, testbed: str) -> None:
    """Mark a network that has no hosts yet with the digest of all else.

    Hosts can be changed while it runs, anything else needs a restart: the digest
    tells `networks.ensure` which of the two it is.
    """
    digest = hashlib.sha256(ET.tostring(network)).hexdigest()[:16]
    network.insert(2, build_mark(Mark(testbed, spec_hash=digest)))


def _dhcp_range(nat: NatState) -> tuple[str, str]:
    """Return the larger run of addresses beside the gateway."""
    subnet = ipaddress.ip_network(nat.subnet)
    gateway = ipaddress.ip_address(nat.gateway)
    first, last = subnet[1], subnet[-2]
    if int(gateway) - int(first) > int(last) - int(gateway):
        return str(first), str(gateway - 1)
    return str(gateway + 1), str(last)


def _text(parent: ET.Element, tag: str, text: str, **attributes: str) -> None:
    ET.SubElement(parent, tag, attributes).text = text


def _print(root: ET.Element) -> str:
    ET.indent(root)
    return ET.tostring(root, encoding="unicode") + "\n"
