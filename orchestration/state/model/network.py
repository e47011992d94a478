"""The networks of a testbed: bridges, links, NAT, management, cards of hosts.

Units are in the names; addresses and subnets are their usual text forms. Links between
bridges are stored by their sort; `NetworkState.links` has all of them in one form, for
callers that treat every sort alike.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

from orchestration.state.model.hosts import Datapath
from orchestration.state.model.images import Frozen


class BridgeState(Frozen):
    """One Open vSwitch bridge on one host; a stretched bridge has several."""

    name: str
    host: str
    device: str
    datapath: Datapath
    protocol: str | None = None
    controller: str | None = None
    rstp: bool = False


class PatchState(Frozen):
    """A link between two bridges of one host: patch ports, or a veth pair with RSTP.

    Open vSwitch 3.1 aborts, for all testbeds of its host, when a BPDU passes a patch
    port: "rstp.c: pthread_mutex_lock failed (Resource deadlock avoided)".
    """

    name: str
    host: str
    device_a: str
    device_b: str
    port_a: str
    port_b: str
    is_veth: bool = False


class TunnelEnd(Frozen):
    """One end of a tunnel: `port` on `device` of `host`, towards `remote_address`."""

    host: str
    device: str
    port: str
    local_address: str
    remote_address: str


class TunnelState(Frozen):
    """A link between bridges on two hosts; `key` is unique among all testbeds."""

    name: str
    kind: str
    key: int
    ends: tuple[TunnelEnd, TunnelEnd]

    def end_on(self, host: str) -> TunnelEnd:
        """Return the end on one of its hosts."""
        return next(end for end in self.ends if end.host == host)


class Reservation(Frozen):
    """A fixed DHCP lease, which is also a name in the network's DNS."""

    mac: str
    address: str
    names: tuple[str, ...]


class NatState(Frozen):
    """The libvirt NAT network on main, and its veth pair into the external bridge."""

    host: str
    network: str
    device: str
    subnet: str
    gateway: str
    mtu: int
    reservations: tuple[Reservation, ...]
    external_device: str
    veth_network_end: str
    veth_bridge_end: str


class ManagementState(Frozen):
    """The isolated libvirt network by which a host reaches its own guests."""

    host: str
    network: str
    device: str
    subnet: str
    address: str


class HostPortState(Frozen):
    """A network card of a host that is plugged into a bridge; it remains the host's."""

    host: str
    device: str
    nic: str


Joint = PatchState | TunnelState | HostPortState | NatState
# The key of the veth pair between the NAT network and the external bridge, on main.
UPLINK_KEY = "external"


class LinkKind(StrEnum):
    """The sort of a link, in a user's words."""

    PATCH = "link"
    TUNNEL = "tunnel"
    HOST_PORT = "card"
    UPLINK = "uplink"


@dataclass(frozen=True, slots=True)
class LinkState:
    """A link on one host, of any sort: a tunnel has one for each end.

    Host and `key` identify it. `ports` are bridges' devices and the ports on them,
    `veths` both devices of its veth pair, if any. `joint` is the stored object of its
    sort.
    """

    kind: LinkKind
    name: str
    host: str
    key: str
    ports: tuple[tuple[str, str], ...]
    joint: Joint
    veths: tuple[str, ...] = ()


class NetworkState(Frozen):
    """All networks of a testbed."""

    bridges: tuple[BridgeState, ...] = ()
    patches: tuple[PatchState, ...] = ()
    tunnels: tuple[TunnelState, ...] = ()
    nat: NatState | None = None
    management: tuple[ManagementState, ...] = ()
    cards: tuple[HostPortState, ...] = ()

    @property
    def links(self) -> tuple[LinkState, ...]:
        """All links on each of their hosts."""
        return tuple(self._links())

    def _links(self) -> Iterator[LinkState]:
        for patch in self.patches:
            yield LinkState(
                LinkKind.PATCH,
                patch.name,
                patch.host,
                patch.name,
                ((patch.device_a, patch.port_a), (patch.device_b, patch.port_b)),
                patch,
                (patch.port_a, patch.port_b) if patch.is_veth else (),
            )
        for tunnel in self.tunnels:
            for end in tunnel.ends:
                ports = ((end.device, end.port),)
                yield LinkState(
                    LinkKind.TUNNEL, tunnel.name, end.host, tunnel.name, ports, tunnel
                )
        for card in self.cards:
            # No other link's name has a space.
            key, ports = f"card {card.nic}", ((card.device, card.nic),)
            yield LinkState(LinkKind.HOST_PORT, key, card.host, key, ports, card)
        if nat := self.nat:
            yield LinkState(
                LinkKind.UPLINK,
                "uplink",
                nat.host,
                UPLINK_KEY,
                ((nat.external_device, nat.veth_bridge_end),),
                nat,
                (nat.veth_network_end, nat.veth_bridge_end),
            )
