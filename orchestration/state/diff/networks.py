"""A state's bridges, links and networks as parts that can be compared.

The identity of a part is what its device or port is called and where it is plugged
in: with another identity it is removed and made anew, with other settings it is
changed as it runs. Keys and names are those of a plan's resources. For `state.diff`.
"""

from dataclasses import dataclass

from orchestration.state.model import State

Setting = tuple[str, object]


@dataclass(frozen=True, slots=True)
class Part:
    """One bridge, one end of a link or one network, on one host."""

    identity: tuple[object, ...]
    name: str
    host: str
    key: str
    settings: tuple[Setting, ...] = ()


def bridge_parts(state: State) -> list[Part]:
    """Return each bridge on each of its hosts."""
    return [
        Part(
            (b.host, b.device),
            b.name,
            b.host,
            b.device,
            (
                ("RSTP", "on" if b.rstp else "off"),
                ("protocol", b.protocol or "default"),
                ("controller", b.controller or "none"),
                ("datapath", b.datapath.value),
            ),
        )
        for b in state.network.bridges
    ]


def link_parts(state: State) -> list[Part]:
    """Return the patches, both ends of each tunnel, hosts' cards, and the way out."""
    network, nat = state.network, state.network.nat
    parts = [
        Part(
            (p.name, p.host, p.port_a, p.port_b, p.device_a, p.device_b),
            p.name,
            p.host,
            p.name,
        )
        for p in network.patches
    ]
    parts += [
        Part(
            (tunnel.name, end.host, end.port, end.device),
            tunnel.name,
            end.host,
            tunnel.name,
            (
                ("kind", tunnel.kind),
                ("tunnel id", str(tunnel.key)),
                ("remote address", end.remote_address),
                ("local address", end.local_address or "any"),
            ),
        )
        for tunnel in network.tunnels
        for end in tunnel.ends
    ]
    parts += [
        Part((c.host, c.nic, c.device), f"card {c.nic}", c.host, f"card {c.nic}")
        for c in network.cards
    ]
    if nat:
        identity = (nat.host, nat.veth_bridge_end, nat.external_device)
        parts.append(Part(identity, "uplink", nat.host, "external"))
    return parts


def network_parts(state: State) -> list[Part]:
    """Return the NAT network and the management networks."""
    nat = state.network.nat
    parts = []
    if nat:
        reservations = frozenset(nat.reservations)
        settings: tuple[Setting, ...] = (
            ("leases", reservations),
            ("subnet", nat.subnet),
        )
        parts.append(Part((nat.host, nat.network), "NAT", nat.host, "nat", settings))
    parts += [
        Part(
            (m.host, m.network),
            "management",
            m.host,
            "management",
            (("subnet", m.subnet),),
        )
        for m in state.network.management
    ]
    return parts
