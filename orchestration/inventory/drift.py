"""Finds the parts of a deployed state that are missing on the hosts.

Pure: the state and each host's inventory in, missing parts out, in a user's words. The
web saves them, shows them on the testbed's page and derives its condition from them;
`up` makes them again. A host that did not answer has no missing parts.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from orchestration.inventory.things import Inventory, ThingKind
from orchestration.providers.linux.firewall import Firewall
from orchestration.providers.linux.senders import table_of
from orchestration.providers.ovs.changes import (
    is_same_device,
    tunnel_options,
    wanted_settings,
)
from orchestration.state.model import (
    BridgeState,
    GuestState,
    HostPortState,
    LinkState,
    ManagementState,
    NatState,
    State,
    TunnelState,
)


@dataclass(frozen=True, slots=True)
class MissingPart:
    """One missing part: `bridge`, `br0`, and a sentence on it."""

    kind: str
    name: str
    host: str
    text: str


def missing_parts(
    state: State,
    inventories: Mapping[str, Inventory],
    firewalls: Mapping[str, str] | None = None,
) -> tuple[MissingPart, ...]:
    """Return the missing parts of networks, disks and seeds.

    Guests are observed on their own.

    Parts of a missing bridge are not listed besides. Foreign things with a name of the
    testbed are listed: `up` cannot make the missing parts while they are there.
    `firewalls` has the digest of each guarded host's ruleset.
    """
    finder = _Finder(state, inventories)
    return (
        *finder.foreign(),
        *finder.firewalls(firewalls or {}),
        *finder.networks(),
        *finder.bridges(),
        *finder.foreign_ports(),
        *finder.links(),
        *finder.interfaces(),
        *finder.files(),
    )


class _Finder:
    """One comparison; keeps the missing parts by host."""

    def __init__(self, state: State, inventories: Mapping[str, Inventory]) -> None:
        self.state = state
        self.seen = inventories
        self.bridges_there = self._by_host(ThingKind.BRIDGE)
        self.networks_there = self._by_host(ThingKind.NETWORK)
        self.ports_there = {
            (host, thing.name, thing.place)
            for host, inventory in inventories.items()
            for thing in inventory.things
            if thing.kind is ThingKind.PORT and thing.testbed == state.testbed
        }

    def _by_host(self, kind: ThingKind) -> dict[tuple[str, str], bool]:
        return {
            (host, name): thing.is_active
            for host, inventory in self.seen.items()
            for name, thing in inventory.names(kind, self.state.testbed).items()
        }

    def foreign(self) -> Iterator[MissingPart]:
        """Find domains and networks with names of the testbed that are not its own."""
        for guest in self.state.guests:
            if self._is_foreign(
                guest.host, (ThingKind.DOMAIN, guest.domain), guest.name
            ):
                yield _foreign("machine", guest.domain, guest.host)
        for network in self._wanted_networks():
            if self._is_foreign(network.host, (ThingKind.NETWORK, network.network), ""):
                yield _foreign("network", network.network, network.host)

    def _is_foreign(self, host: str, place: tuple[ThingKind, str], guest: str) -> bool:
        inventory, ours = self.seen.get(host), (self.state.testbed, guest)
        return inventory is not None and inventory.owners.get(place, ours) != ours

    def _wanted_networks(self) -> list[NatState | ManagementState]:
        nat = self.state.network.nat
        return [*([nat] if nat else []), *self.state.network.management]

    def firewalls(self, wanted: Mapping[str, str]) -> Iterator[MissingPart]:
        """Find hosts whose firewall is gone, was changed, or follows older settings."""
        for host in (host.name for host in self.state.used_hosts):
            if host in wanted and host in self.seen:
                problem = _firewall_problem(self.seen[host].firewall, wanted[host])
                if problem:
                    text = f"firewall of {host} {problem}"
                    yield MissingPart("firewall", host, host, text)
        table = table_of(self.state.number)
        for network in self.state.network.management:
            inventory = self.seen.get(network.host)
            if inventory is None or network.host not in wanted:
                continue
            found = inventory.tables.get(table)
            if found is None or not found.is_intact:
                verb = "is gone" if found is None else "was changed by another program"
                yield _part("firewall", network.network, network.host, verb)

    def networks(self) -> Iterator[MissingPart]:
        """Find libvirt networks that are undefined, stopped, down or without dnsmasq."""
        for network in self._wanted_networks():
            if network.host not in self.seen:
                continue
            is_active = self.networks_there.get((network.host, network.network))
            if not is_active:
                verb = "is gone" if is_active is None else "is not active"
                yield _part("network", network.network, network.host, verb)
            elif self._has_device_down(network):
                yield _part("network", network.network, network.host, "is down")
            elif isinstance(network, NatState) and self._is_unserved(network):
                verb = "gives no addresses and names"
                yield _part("network", network.network, network.host, verb)

    def bridges(self) -> Iterator[MissingPart]:
        """Find bridges that are gone, or whose settings or flows somebody changed."""
        for bridge in self.state.network.bridges:
            if self._is_gone(bridge.host, bridge.device):
                yield _part("bridge", bridge.name, bridge.host)
            elif self._is_set_otherwise(bridge):
                yield _part("bridge", bridge.name, bridge.host, "has other settings")
            elif self._is_reflowed(bridge):
                yield _part("bridge", bridge.name, bridge.host, "has other flows")

    def foreign_ports(self) -> Iterator[MissingPart]:
        """Find ports on the testbed's bridges that are not its own; up leaves them."""
        tap = f"t{self.state.number}g"
        for bridge in self.state.network.bridges:
            seen = self.seen.get(bridge.host)
            for port in seen.on_bridge.get(bridge.device, ()) if seen else ():
                is_tagged = port.testbed == self.state.testbed
                is_part = port.name == bridge.device or port.name.startswith(tap)
                if not (is_tagged or is_part):
                    text = (
                        f"bridge {bridge.name} on {bridge.host} has the foreign port "
                        f"{port.name}, which Up leaves: ovs-vsctl del-port {port.name}"
                    )
                    yield MissingPart("port", port.name, bridge.host, text)

    def links(self) -> Iterator[MissingPart]:
        """Find links whose bridges are there, and whose ports or devices are not."""
        for link in self.state.network.links:
            ports = (self._is_unplugged(link.host, *port) for port in link.ports)
            name, verb = self._words(link)
            if self._is_cut(link) or any(ports):
                yield _part(link.kind.value, name, link.host, verb)
            elif self._is_down(link) or any(
                self._is_dead(link.host, port) for _, port in link.ports
            ):
                yield _part(link.kind.value, name, link.host, "is cut")
            elif self._is_changed(link):
                yield _part(link.kind.value, name, link.host, "has other settings")

    def interfaces(self) -> Iterator[MissingPart]:
        """Find running guests' interfaces that are down or in a VLAN, or elsewhere."""
        for guest in self.state.guests:
            inventory = self.seen.get(guest.host)
            if inventory is None or not self._boots(guest):
                continue
            for name, tap, device in self._wires(guest):
                card = f"{name} of guest {guest.name}"
                link = inventory.links.get(tap)
                # A guest that is off has no tap; a loose one is on "".
                if inventory.plugs.get(tap, device) != device:
                    yield _part("interface", card, guest.host, "is not on its bridge")
                elif link is not None and not link.up:
                    yield _part("interface", card, guest.host, "is down")
                elif tap in inventory.ports and inventory.ports[tap].in_vlan:
                    yield _part("interface", card, guest.host, "is in a VLAN")

    def files(self) -> Iterator[MissingPart]:
        """Find disks and seeds of guests that were made, and are not in their place."""
        for guest in self.state.guests:
            seen = self.seen.get(guest.host)
            is_made = bool(guest.markers.disk)
            if seen is None or seen.files is None or not is_made:
                continue
            for kind, path in (("disk", guest.disk), ("seed", guest.seed)):
                place = (self.state.testbed, PurePosixPath(path).name)
                if path and place not in seen.files and self._boots(guest):
                    text = f"{kind} of {guest.name} is missing on {guest.host}"
                    yield MissingPart(kind, guest.name, guest.host, text)

    def _boots(self, guest: GuestState) -> bool:
        return self.state.host(guest.host).boots_guests

    def _wires(self, guest: GuestState) -> Iterator[tuple[str, str, str]]:
        for interface in guest.interfaces:
            if (guest.host, interface.device) in self.bridges_there:
                yield interface.name, interface.tap, interface.device
        devices = {m.host: (m.network, m.device) for m in self.state.network.management}
        network, device = devices.get(guest.host, ("", ""))
        if guest.management and self.networks_there.get((guest.host, network)):
            yield guest.management.name, guest.management.tap, device

    def _has_device_down(self, network: NatState | ManagementState) -> bool:
        """Return whether the Linux bridge of an active network is there, and down."""
        link = self.seen[network.host].links.get(network.device)
        return link is not None and not link.up

    def _is_unserved(self, nat: NatState) -> bool:
        served = self.seen[nat.host].served
        return served is not None and nat.network not in served

    def _is_set_otherwise(self, bridge: BridgeState) -> bool:
        seen = self.seen.get(bridge.host)
        found = seen.bridges.get(bridge.device) if seen else None
        wanted = wanted_settings(bridge, testbed=self.state.testbed)
        return found is not None and found.settings != wanted

    def _is_reflowed(self, bridge: BridgeState) -> bool:
        seen = self.seen.get(bridge.host)
        is_ours = seen is not None and bridge.device in seen.reflowed
        return is_ours and not bridge.controller

    def _is_gone(self, host: str, device: str) -> bool:
        return host in self.seen and (host, device) not in self.bridges_there

    def _is_cut(self, link: LinkState) -> bool:
        """Return whether a link's veth pair is gone, or off the NAT network."""
        if not link.veths or link.host not in self.seen:
            return False
        things = self.seen[link.host].things
        places = {v.name: v.place for v in things if v.kind is ThingKind.LINK}
        nat = link.joint
        if not places.keys() >= set(link.veths):
            return True
        if not isinstance(nat, NatState):
            return False
        is_active = self.networks_there.get((nat.host, nat.network))
        return bool(is_active) and places.get(nat.veth_network_end) != nat.device

    def _is_down(self, link: LinkState) -> bool:
        """Return whether an end of a link's veth pair is there, and down."""
        seen = self.seen.get(link.host)
        ends = (seen.links.get(end) for end in link.veths) if seen else ()
        return any(end is not None and not end.up for end in ends)

    def _is_dead(self, host: str, port: str) -> bool:
        """Return whether the switch cannot use a port, or has another device for it."""
        seen = self.seen.get(host)
        found = seen.ports.get(port) if seen else None
        if seen is None or found is None:
            return False
        device = seen.links.get(port)
        is_other = device is not None and not is_same_device(found.ids, device.index)
        return is_other or bool(found.error)

    def _is_changed(self, link: LinkState) -> bool:
        """Return whether a port is in a VLAN, or a tunnel's end has other options."""
        tunnel, seen = link.joint, self.seen.get(link.host)
        if seen is None:
            return False
        ports = (seen.ports.get(port) for _, port in link.ports)
        if any(port is not None and port.in_vlan for port in ports):
            return True
        if not isinstance(tunnel, TunnelState):
            return False
        end = tunnel.end_on(link.host)
        port = seen.ports.get(end.port)
        wanted = (tunnel.kind, tunnel_options(tunnel, end))
        return port is not None and (port.kind, dict(port.options)) != wanted

    @staticmethod
    def _words(link: LinkState) -> tuple[str, str]:
        """Return a link's name after its kind, and its problem."""
        match link.joint:
            case HostPortState():
                return link.joint.nic, "is not on its bridge"
            case NatState():
                return f"through {link.joint.network}", "is cut"
        return link.name, "is gone"

    def _is_unplugged(self, host: str, device: str, port: str) -> bool:
        if host not in self.seen or self._is_gone(host, device):
            return False
        return (host, port, device) not in self.ports_there


def _foreign(kind: str, name: str, host: str) -> MissingPart:
    text = f"a {kind} named {name} that is not this testbed's is on {host}"
    return MissingPart(kind, name, host, text)


def _firewall_problem(found: Firewall | None, wanted: str) -> str:
    if found is None:
        return "is gone"
    if not found.is_intact:
        return "was changed by another program"
    return "" if found.digest == wanted else "follows older settings"


def _part(kind: str, name: str, host: str, verb: str = "is gone") -> MissingPart:
    return MissingPart(kind, name, host, f"{kind} {name} {verb} on {host}")
