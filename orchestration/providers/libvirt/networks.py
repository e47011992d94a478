"""Verbs of libvirt networks: ensure, delete, observe, leases.

The network instructions call them with text from `xml`. A network that runs is changed
in place where libvirt can (its reservations and names); any other change needs a
restart, which is refused while guests are attached. A network of our name without the
testbed's mark is refused by all of them.
"""

import xml.etree.ElementTree as ET
from collections.abc import Iterable
from dataclasses import dataclass

import libvirt

from orchestration.errors import ForeignThing, NetworkFailed
from orchestration.providers.libvirt.connection import Connection, is_test_driver
from orchestration.providers.libvirt.xml.metadata import find_mark

_LIVE_AND_CONFIG = (
    libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE | libvirt.VIR_NETWORK_UPDATE_AFFECT_CONFIG
)
# Added and removed at once, so that libvirt starts dnsmasq again.
_RECORD = "<txt name='testbed.invalid' value='restart'/>"


@dataclass(frozen=True, slots=True)
class NetworkFacts:
    """One network as observed; `testbed` is empty for foreign networks."""

    name: str
    device: str
    is_active: bool
    testbed: str


@dataclass(frozen=True, slots=True)
class _Shape:
    """The parts that `ensure` compares: the frame's digest, and both kinds of hosts."""

    spec_hash: str
    dhcp_hosts: frozenset[str]
    dns_hosts: frozenset[str]


def ensure(conn: Connection, name: str, xml: str, *, testbed: str) -> bool:
    """Define a network as `xml` has it, active, and started with its host.

    True when anything was changed. A restart removes the network's bridge device with
    all foreign ports on it. Raises: NetworkFailed (it must restart and guests are
    attached), ForeignThing (the name is another network's), LibvirtFailed,
    HostUnreachable.
    """

    def work(handle: libvirt.virConnect) -> bool:
        network = _lookup(handle, name, testbed, conn.machine)
        if network is None:
            network = handle.networkDefineXML(xml)
            changed = True
        else:
            changed = _update(handle, network, xml, machine=conn.machine)
        if not network.isActive():
            network.create()
            changed = True
        if not network.autostart():
            network.setAutostart(1)
        return changed

    return conn.call(f"make network {name}", work, changes=True)


def restart_dnsmasq(conn: Connection, name: str, *, testbed: str) -> None:
    """Start a network's dnsmasq again; its bridge and what hangs on it stay.

    libvirt does that when the arguments change, as they do with a text record.
    Raises: ForeignThing, LibvirtFailed, HostUnreachable.
    """

    def work(handle: libvirt.virConnect) -> None:
        network = _require(handle, name, testbed, conn.machine)
        for change in (
            libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST,
            libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE,
        ):
            network.update(
                change,
                libvirt.VIR_NETWORK_SECTION_DNS_TXT,
                -1,
                _RECORD,
                libvirt.VIR_NETWORK_UPDATE_AFFECT_LIVE,
            )

    conn.call(f"start the name server of network {name}", work, changes=True)


def delete(conn: Connection, name: str, *, testbed: str) -> bool:
    """Stop and undefine a testbed's network; False when there was none.

    Raises: ForeignThing, LibvirtFailed, HostUnreachable.
    """

    def work(handle: libvirt.virConnect) -> bool:
        network = _lookup(handle, name, testbed, conn.machine)
        if network is None:
            return False
        if network.isActive():
            network.destroy()
        if network.isPersistent():
            network.undefine()
        return True

    return conn.call(f"delete network {name}", work, changes=True)


def leases(conn: Connection, name: str, *, testbed: str) -> dict[str, str]:
    """Return the IPv4 address that DHCP gave to each MAC (lower case).

    A simulated network answers with its reservations. Raises: ForeignThing,
    LibvirtFailed (there is none), HostUnreachable.
    """

    def work(handle: libvirt.virConnect) -> dict[str, str]:
        network = _require(handle, name, testbed, conn.machine)
        if is_test_driver(handle):
            hosts = _parse(network.XMLDesc()).iterfind("./ip/dhcp/host")
            return {_mac(host.get("mac")): host.get("ip", "") for host in hosts}
        found = [
            lease
            for lease in network.DHCPLeases()
            if lease["type"] == libvirt.VIR_IP_ADDR_TYPE_IPV4
        ]
        found.sort(key=lambda lease: lease["expirytime"])
        return {_mac(lease["mac"]): lease["ipaddr"] for lease in found}

    return conn.call(f"list the leases of network {name}", work)


def observe(conn: Connection) -> tuple[NetworkFacts, ...]:
    """Describe all networks of a host, sorted by name."""

    def work(handle: libvirt.virConnect) -> tuple[NetworkFacts, ...]:
        found = filter(None, map(_describe, handle.listAllNetworks()))
        return tuple(sorted(found, key=lambda facts: facts.name))

    return conn.call("list its networks", work)


def _describe(network: libvirt.virNetwork) -> NetworkFacts | None:
    """Describe a network; None when it was undefined meanwhile."""
    try:
        root = _parse(network.XMLDesc())
        is_active = bool(network.isActive())
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_NETWORK:
            return None
        raise
    bridge = root.find("./bridge")
    device = bridge.get("name", "") if bridge is not None else ""
    return NetworkFacts(network.name(), device, is_active, find_mark(root).testbed)


def _update(
    handle: libvirt.virConnect, network: libvirt.virNetwork, xml: str, *, machine: str
) -> bool:
    """Change a defined network to `xml`; True when it was different."""
    wanted = _shape(xml)
    config = 0 if is_test_driver(handle) else libvirt.VIR_NETWORK_XML_INACTIVE
    defined = _shape(network.XMLDesc(config))
    active = bool(network.isActive())
    running = _shape(network.XMLDesc()) if active else wanted
    if defined == wanted == running:
        return False
    if active and running.spec_hash == defined.spec_hash == wanted.spec_hash:
        _update_hosts(network, running, wanted)
        if _shape(network.XMLDesc(config)) == wanted:
            return True
    elif active:
        _refuse_while_attached(network, machine=machine)
        network.destroy()
    handle.networkDefineXML(xml)
    return True


def _update_hosts(network: libvirt.virNetwork, old: _Shape, new: _Shape) -> None:
    """Change reservations and names of a running network; removals come first.

    dnsmasq reads them again; leases and attached guests stay.
    """
    sections = (
        (libvirt.VIR_NETWORK_SECTION_IP_DHCP_HOST, old.dhcp_hosts, new.dhcp_hosts),
        (libvirt.VIR_NETWORK_SECTION_DNS_HOST, old.dns_hosts, new.dns_hosts),
    )
    for section, before, after in sections:
        removal = libvirt.VIR_NETWORK_UPDATE_COMMAND_DELETE
        _send(network, removal, section, before - after)
        addition = libvirt.VIR_NETWORK_UPDATE_COMMAND_ADD_LAST
        _send(network, addition, section, after - before)


def _send(
    network: libvirt.virNetwork, command: int, section: int, hosts: Iterable[str]
) -> None:
    for host in sorted(hosts):
        network.update(command, section, -1, host, _LIVE_AND_CONFIG)


def _refuse_while_attached(network: libvirt.virNetwork, *, machine: str) -> None:
    attached = int(_parse(network.XMLDesc()).get("connections", "0"))
    if attached:
        raise NetworkFailed(
            f"Network {network.name()} on host {machine} must restart to change, "
            f"and {attached} guest interface(s) use it.",
            hint="Use Down, then Up.",
        )


def _shape(xml: str) -> _Shape:
    root = _parse(xml)
    return _Shape(
        spec_hash=find_mark(root).spec_hash,
        dhcp_hosts=frozenset(map(_canonical, root.iterfind("./ip/dhcp/host"))),
        dns_hosts=frozenset(map(_canonical, root.iterfind("./dns/host"))),
    )


def _canonical(host: ET.Element) -> str:
    """Print a host entry so that equal ones are equal text."""
    copy = ET.Element("host", dict(sorted(host.attrib.items())))
    if "mac" in copy.attrib:
        copy.set("mac", _mac(copy.get("mac")))
    for hostname in host.iterfind("hostname"):
        ET.SubElement(copy, "hostname").text = (hostname.text or "").strip()
    return ET.tostring(copy, encoding="unicode")


def _require(
    handle: libvirt.virConnect, name: str, testbed: str, machine: str
) -> libvirt.virNetwork:
    """Return a testbed's network. Raises: ForeignThing, libvirtError (none)."""
    network = handle.networkLookupByName(name)
    owner = find_mark(_parse(network.XMLDesc())).testbed
    if owner != testbed:
        whose = f"testbed {owner}" if owner else ""
        raise ForeignThing(f"network {name}", machine, owner=whose)
    return network


def _lookup(
    handle: libvirt.virConnect, name: str, testbed: str, machine: str
) -> libvirt.virNetwork | None:
    try:
        return _require(handle, name, testbed, machine)
    except libvirt.libvirtError as error:
        if error.get_error_code() == libvirt.VIR_ERR_NO_NETWORK:
            return None
        raise


def _mac(text: str | None) -> str:
    return (text or "").lower()


def _parse(xml: str) -> ET.Element:
    # From our own builder or from libvirtd, never from a user.
    return ET.fromstring(xml)  # nosec B314  # noqa: S314
