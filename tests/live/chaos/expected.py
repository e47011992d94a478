"""The drift that a testbed's page has to show: its state against the hosts' facts.

Written from docs and pages, not from the product's comparison, so that the two can
disagree. Sentences are the page's.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from orchestration.state.model import GuestState, NatState, State, TunnelState
from orchestration.state.model.network import Joint
from tests.live.chaos.host_facts import HostFacts

# The page's words for libvirt's.
WORDS = {
    "running": "running",
    "idle": "running",
    "paused": "paused",
    "shut off": "shut off",
    "in shutdown": "shutting down",
    "crashed": "crashed",
    "pmsuspended": "suspended",
}
ABSENT = "stopped"
GONE = "is gone"
FIREWALL = "inet testbed"


def table_of(number: int) -> str:
    """Return the table of a testbed's management networks."""
    return f"bridge testbed_t{number}"


@dataclass(frozen=True)
class Expected:
    """One testbed's state, the facts of the hosts, and the tables as Up left them."""

    state: State
    facts: Mapping[str, HostFacts]
    tables: Mapping[tuple[str, str], str]

    def status(self, guest: GuestState) -> str:
        """Return the page's word for a guest."""
        domain = self.facts[guest.host].domains.get(guest.domain)
        return WORDS.get(domain.status, domain.status) if domain else ABSENT

    def run_of(self, guest: GuestState) -> str:
        """Return libvirt's number of a guest's present run; empty when it is off."""
        domain = self.facts[guest.host].domains.get(guest.domain)
        return domain.run if domain else ""

    def is_reachable(self, guest: GuestState) -> bool:
        """Return whether a running guest's management interface is in its place."""
        facts, card = self.facts[guest.host], guest.management
        if self.status(guest) != "running" or card is None:
            return False
        device = next(
            m.device for m in self.state.network.management if m.host == guest.host
        )
        link = facts.links.get(card.tap)
        is_allowed = self._table(guest.host, table_of(self.state.number)) in ("", GONE)
        is_active = facts.networks.get(card.network, False) and is_allowed
        is_heard = is_active and not facts.is_down(device)
        return bool(is_heard and link and link.is_up and link.master == device)

    def missing(self) -> frozenset[str]:
        """Return a sentence for each missing part of networks, disks and guests."""
        return frozenset(
            (
                *self._firewalls(),
                *self._networks(),
                *self._bridges(),
                *self._links(),
                *self._interfaces(),
                *self._files(),
                *self._guests(),
            )
        )

    def _firewalls(self) -> Iterator[str]:
        for host in (h.name for h in self.state.used_hosts):
            if problem := self._table(host, FIREWALL):
                yield f"firewall of {host} {problem}"
        for network in self.state.network.management:
            if problem := self._table(network.host, table_of(self.state.number)):
                yield f"firewall {network.network} {problem} on {network.host}"

    def _table(self, host: str, name: str) -> str:
        table = self.facts[host].tables.get(name)
        if table is None:
            return GONE
        is_same = table == self.tables.get((host, name), table)
        return "" if is_same else "was changed by another program"

    def _networks(self) -> Iterator[str]:
        nat = self.state.network.nat
        for network in (*([nat] if nat else []), *self.state.network.management):
            facts, place = self.facts[network.host], f"on {network.host}"
            is_active = facts.networks.get(network.network)
            if is_active is None:
                yield f"network {network.network} is gone {place}"
            elif not is_active:
                yield f"network {network.network} is not active {place}"
            elif facts.is_down(network.device):
                yield f"network {network.network} is down {place}"
            elif network is nat and nat.network not in facts.served:
                yield f"network {nat.network} gives no addresses and names {place}"

    def _bridges(self) -> Iterator[str]:
        for bridge in self.state.network.bridges:
            facts = self.facts[bridge.host]
            if bridge.device not in facts.bridges:
                yield f"bridge {bridge.name} is gone on {bridge.host}"
            for name, port in facts.ports.items():
                is_ours = port.testbed == self.state.testbed or name == bridge.device
                is_tap = name.startswith(f"t{self.state.number}g")
                if port.bridge == bridge.device and not (is_ours or is_tap):
                    yield (
                        f"bridge {bridge.name} on {bridge.host} has the foreign port "
                        f"{name}, which Up leaves: ovs-vsctl del-port {name}"
                    )

    def _links(self) -> Iterator[str]:
        for link in self.state.network.links:
            facts, place = self.facts[link.host], f"on {link.host}"
            there = [
                (b, facts.ports.get(p)) for b, p in link.ports if b in facts.bridges
            ]
            is_unplugged = any(
                port is None
                or (port.bridge, port.testbed) != (bridge, self.state.testbed)
                for bridge, port in there
            )
            if isinstance(link.joint, NatState):
                if is_unplugged or not self._is_uplink_whole(link.joint):
                    yield f"uplink through {link.joint.network} is cut {place}"
            elif is_unplugged:
                yield f"{link.kind.value} {link.name} is gone {place}"
            elif there and not self._is_as_wanted(link.joint, link.host):
                yield f"{link.kind.value} {link.name} has other settings {place}"

    def _is_uplink_whole(self, nat: NatState) -> bool:
        facts = self.facts[nat.host]
        inner, outer = (
            facts.links.get(end) for end in (nat.veth_network_end, nat.veth_bridge_end)
        )
        if inner is None or outer is None or not (inner.is_up and outer.is_up):
            return False
        port = facts.ports.get(nat.veth_bridge_end)
        is_plugged = port is None or port.ifindex in ("", str(outer.index))
        if not facts.networks.get(nat.network):  # told as the network's own fault
            return is_plugged
        return is_plugged and inner.master == nat.device

    def _is_as_wanted(self, tunnel: Joint, host: str) -> bool:
        if not isinstance(tunnel, TunnelState):
            return True
        end = tunnel.end_on(host)
        port = self.facts[host].ports[end.port]
        wanted = {"remote_ip": end.remote_address, "key": str(tunnel.key)}
        wanted |= {"local_ip": end.local_address} if end.local_address else {}
        return port.kind == tunnel.kind and port.options == wanted

    def _interfaces(self) -> Iterator[str]:
        for guest in self.state.guests:
            for name, tap, place in self._wires(guest):
                facts, card = (
                    self.facts[guest.host],
                    f"interface {name} of guest {guest.name}",
                )
                link, port = facts.links.get(tap), facts.ports.get(tap)
                if link is None:
                    continue
                if (port.bridge if port else link.master) != place:
                    yield f"{card} is not on its bridge on {guest.host}"
                elif not link.is_up:
                    yield f"{card} is down on {guest.host}"

    def _wires(self, guest: GuestState) -> Iterator[tuple[str, str, str]]:
        facts = self.facts[guest.host]
        for card in guest.interfaces:
            if card.device in facts.bridges:
                yield card.name, card.tap, card.device
        for network in self.state.network.management:
            is_active = facts.networks.get(network.network)
            if guest.management and network.host == guest.host and is_active:
                yield guest.management.name, guest.management.tap, network.device

    def _files(self) -> Iterator[str]:
        for guest in self.state.guests:
            for kind, path in (("disk", guest.disk), ("seed", guest.seed)):
                if guest.markers.disk and path not in self.facts[guest.host].files:
                    yield f"{kind} of {guest.name} is missing on {guest.host}"

    def _guests(self) -> Iterator[str]:
        for guest in self.state.guests:
            status = self.status(guest)
            if status != "running":
                words = "is gone" if status == ABSENT else f"is {status}"
                yield f"guest {guest.name} {words} on {guest.host}"
