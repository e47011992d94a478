"""A state's bridges, links and networks as comparable parts.

The identity of a part is its device or port and the bridge that it is plugged into: a
part with another identity is removed and created, one with other settings is changed in
place. Keys and names are those of a plan's resources. Used by `changes.py`.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from orchestration.state.model import LinkState, State, TunnelState

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
    """Return the links on each of their hosts."""
    return [
        Part(
            (link.key, link.host, *link.ports),
            link.name,
            link.host,
            link.key,
            tuple(_tunnel_settings(link)),
        )
        for link in state.network.links
    ]


def _tunnel_settings(link: LinkState) -> Iterator[Setting]:
    """Yield the settings that can change on an existing link; only tunnels have any."""
    if not isinstance(link.joint, TunnelState):
        return
    end = link.joint.end_on(link.host)
    yield "kind", link.joint.kind
    yield "tunnel id", str(link.joint.key)
    yield "remote address", end.remote_address
    yield "local address", end.local_address or "any"


def network_parts(state: State) -> list[Part]:
    """Return the NAT network and the management networks."""
    nat = state.network.nat
    parts = []
    if nat:
        reservations = frozenset(nat.reservations)
        settings: tuple[Setting, ...] = (
            ("leases", reservations),
            ("subnet", nat.subnet),
            ("MTU", str(nat.mtu)),
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
