"""The networks of a testbed: bridges, links, NAT, management, cards of hosts.

Units are in the names; addresses and subnets are their usual text forms.
"""

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
    """A network card of a host that is plugged into a bridge; it stays the host's."""

    host: str
    device: str
    nic: str


class NetworkState(Frozen):
    """All networks of a testbed."""

    bridges: tuple[BridgeState, ...] = ()
    patches: tuple[PatchState, ...] = ()
    tunnels: tuple[TunnelState, ...] = ()
    nat: NatState | None = None
    management: tuple[ManagementState, ...] = ()
    cards: tuple[HostPortState, ...] = ()
