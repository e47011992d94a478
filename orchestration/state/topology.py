"""Bridges, and the links that join them: patches inside a host, tunnels between.

Every connection of the YAML becomes exactly one link, on any hosts, and every further
host of a stretched bridge one tunnel from its home. So the links form a loop only where
the user's connections do; those bridges get RSTP, and keep it. A bridge's home is the
host of its first `BridgeState`; `state.placement` relies on it.
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from ipaddress import ip_address

from orchestration.compose.language.schema import Bridge, Network
from orchestration.errors import StateError
from orchestration.state.model import (
    BridgeState,
    HostState,
    PatchState,
    State,
    TunnelEnd,
    TunnelState,
)
from orchestration.state.names import Names, connection_name, stretch_name
from orchestration.state.placement import Placement

# Tunnel ids have 24 bits (RFC 7348): 1,024 testbeds of 8,192 ids fill 23 of them.
KEYS_PER_TESTBED = 8192

Connection = tuple[str, str]


@dataclass(frozen=True, slots=True)
class Link:
    """A link before it has an index; one host only when both ends are on it."""

    name: str
    source: str
    target: str
    source_host: str
    target_host: str


def connections(network: Network) -> tuple[Connection, ...]:
    """Return the connections in order; one written both ways is two, and a loop.

    Raises: StateError (a bridge that does not exist).
    """
    known = {bridge.name for bridge in network.bridges}
    for connection in network.bridge_connections:
        for name in connection:
            if name not in known:
                raise StateError(
                    f"A connection leads to bridge {name}, which does not exist.",
                    hint="Add it under `network: bridges`, or remove the connection.",
                )
    return tuple(
        (source, target)
        for source, target in dict.fromkeys(network.bridge_connections)
        if source != target
    )


class Components:
    """The connected components of the bridges, and the bridges that need RSTP.

    Bridges in `before` had RSTP already and keep it: when it is switched off, Open
    vSwitch 3.1 floods to none of a bridge's ports any more.
    """

    def __init__(
        self,
        names: Iterable[str],
        joined: Iterable[Connection],
        before: Iterable[str] = (),
    ) -> None:
        self._parent = {name: name for name in names}
        closing: list[str] = []
        for source, target in joined:
            one, other = self._root(source), self._root(target)
            if one == other:
                closing.append(one)
            self._parent[one] = other
        kept = (name for name in before if name in self._parent)
        self._with_rstp = {self._root(name) for name in (*closing, *kept)}

    def _root(self, name: str) -> str:
        while self._parent[name] != name:
            self._parent[name] = self._parent[self._parent[name]]
            name = self._parent[name]
        return name

    def are_connected(self, one: str, other: str) -> bool:
        """Return whether frames can go from one bridge to the other."""
        return self._root(one) == self._root(other)

    def needs_rstp(self, name: str) -> bool:
        """Return whether a loop, or a bridge that had one, is reachable from here."""
        return self._root(name) in self._with_rstp


def build_components(network: Network, previous: State | None = None) -> Components:
    """Find the connected components of a spec's bridges."""
    names = (bridge.name for bridge in network.bridges)
    earlier = previous.network.bridges if previous else ()
    before = (bridge.name for bridge in earlier if bridge.rstp)
    return Components(names, connections(network), before)


def build_bridges(
    bridges: Iterable[Bridge],
    *,
    names: Names,
    placement: Placement,
    components: Components,
) -> tuple[BridgeState, ...]:
    """Return each bridge on each of its hosts, its home first."""
    return tuple(
        BridgeState(
            name=bridge.name,
            host=host,
            device=names.bridge(bridge.name),
            datapath=placement.hosts[host].datapath,
            protocol=bridge.protocol,
            controller=bridge.controller,
            rstp=components.needs_rstp(bridge.name),
        )
        for bridge in bridges
        for host in placement.bridges[bridge.name]
    )


def build_links(
    network: Network,
    *,
    names: Names,
    placement: Placement,
    tunnel_kind: str,
    previous: State | None = None,
) -> tuple[tuple[PatchState, ...], tuple[TunnelState, ...]]:
    """Return the links inside hosts and between hosts.

    A link keeps the index (thus ports and tunnel key) that it had before.
    Raises: StateError (too many links, a host without an address for tunnels).
    """
    links = tuple(_links(network, placement))
    indexes = _indexes(links, _previous_indexes(previous, names))
    components = build_components(network, previous)
    patches: list[PatchState] = []
    tunnels: list[TunnelState] = []
    for link in links:
        index = indexes[link.name]
        if link.source_host == link.target_host:
            is_veth = components.needs_rstp(link.source)
            patches.append(_patch(link, index, names, is_veth=is_veth))
        else:
            ends = _ends(link, names.tunnel_port(index), names, placement)
            key = names.number * KEYS_PER_TESTBED + index + 1
            tunnels.append(
                TunnelState(name=link.name, kind=tunnel_kind, key=key, ends=ends)
            )
    return tuple(patches), tuple(tunnels)


def _links(network: Network, placement: Placement) -> Iterator[Link]:
    for source, target in connections(network):
        name = connection_name(source, target)
        here, there = placement.home(source), placement.home(target)
        shared = [
            host
            for host in (here, *placement.hosts)
            if host in placement.bridges[source] and host in placement.bridges[target]
        ]
        if shared:
            here = there = shared[0]
        yield Link(name, source, target, here, there)
    for bridge in network.bridges:
        home, *further = placement.bridges[bridge.name]
        for host in further:
            name = stretch_name(bridge.name, host)
            yield Link(name, bridge.name, bridge.name, home, host)


def _previous_indexes(previous: State | None, names: Names) -> dict[str, int]:
    """Parse the indexes from the names and keys that were made from them."""
    if previous is None or previous.number != names.number:
        return {}
    first_key = names.number * KEYS_PER_TESTBED + 1
    indexes = {
        tunnel.name: tunnel.key - first_key for tunnel in previous.network.tunnels
    }
    for patch in previous.network.patches:
        indexes[patch.name] = int(re.findall(r"\d+", patch.port_a)[-1])
    return indexes


def _indexes(links: tuple[Link, ...], before: Mapping[str, int]) -> dict[str, int]:
    # The last id of a testbed would be the first of the next one.
    limit = KEYS_PER_TESTBED - 1
    if len(links) > limit:
        raise StateError(
            f"The testbed needs {len(links)} links between bridges; "
            f"{limit} are possible.",
            hint="Use fewer bridges, or split the testbed into two.",
        )
    kept = {link.name: before[link.name] for link in links if link.name in before}
    taken = set(kept.values())
    free = (index for index in range(limit) if index not in taken)
    return {
        link.name: kept[link.name] if link.name in kept else next(free)
        for link in links
    }


def _patch(link: Link, index: int, names: Names, *, is_veth: bool) -> PatchState:
    port_a, port_b = names.veth_ports(index) if is_veth else names.patch_ports(index)
    return PatchState(
        name=link.name,
        host=link.source_host,
        device_a=names.bridge(link.source),
        device_b=names.bridge(link.target),
        port_a=port_a,
        port_b=port_b,
        is_veth=is_veth,
    )


def _ends(
    link: Link, port: str, names: Names, placement: Placement
) -> tuple[TunnelEnd, TunnelEnd]:
    source, target = (
        placement.hosts[name] for name in (link.source_host, link.target_host)
    )
    here, there = _tunnel_address(source), _tunnel_address(target)
    return (
        TunnelEnd(
            host=source.name,
            device=names.bridge(link.source),
            port=port,
            local_address=here,
            remote_address=there,
        ),
        TunnelEnd(
            host=target.name,
            device=names.bridge(link.target),
            port=port,
            local_address=there,
            remote_address=here,
        ),
    )


def _tunnel_address(host: HostState) -> str:
    address = host.tunnel_address or host.address
    if host.has_network and not is_address(address):
        known = f" but the name {address}" if address else ""
        raise StateError(
            f"Host {host.name} has no address at which tunnels could end{known}.",
            hint="Set its tunnel address; `manage.py add_host` finds that of a name.",
        )
    return address


def is_address(text: str) -> bool:
    """Return whether a text is an address and no name: Open vSwitch takes no names."""
    try:
        ip_address(text)
    except ValueError:
        return False
    return True
