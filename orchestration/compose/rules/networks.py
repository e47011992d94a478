"""Rules about bridges: names, connections between them, and references to them.

Part of `compose/check.py`. When the network section itself is invalid, nothing here is
checked, because the machines' references to bridges may well be right. Logical switches
are in `switches.py`, controllers in `controllers.py`. Pure.
"""

import re
from collections.abc import Iterator, Sequence
from functools import lru_cache

from orchestration.compose.draft import Draft, interfaces_of
from orchestration.compose.language.schema import Network
from orchestration.compose.reading.positions import Path, Positions
from orchestration.errors import Finding

# Interface names are built from bridge names and must fit 15 characters.
BRIDGE = re.compile(r"[a-zA-Z0-9][a-zA-Z0-9_-]{0,4}")
BRIDGES_SHOWN = 20
PROTOCOL = re.compile(r"OpenFlow1[0-5](,OpenFlow1[0-5])*")
HOST_INTERFACE = re.compile(r"[^\s/]{1,15}")


def check_network(draft: Draft, positions: Positions) -> Iterator[Finding]:
    """Check the bridges, their connections, and every use of a bridge's name."""
    network = draft.network
    if network is None or network.ovn is not None:
        return
    used = any(not i.is_on_switch for i in interfaces_of(draft))
    if used and not network.bridges:
        yield positions.error(
            ("network", "bridges"),
            "Machines have interfaces, and `network` has no `bridges`.",
            "Add `network: {bridges: [{name: br0}], external_bridge: br0}`.",
        )
        return
    names = frozenset(bridge.name for bridge in network.bridges)
    yield from _bridges(network, positions)
    yield from _connections(network, names, positions)
    yield from _loops(network, positions)
    yield from _external(network, names, positions, used=used)
    yield from _interfaces(draft, names, positions)
    yield from _host_interfaces(network, names, positions)


def check_cards(
    draft: Draft, positions: Positions, allowed: Sequence[str] | None
) -> Iterator[Finding]:
    """Check that the hosts' network cards are among those that bridges may have."""
    cards = draft.network.network_interfaces if draft.network else ()
    for index, card in enumerate(cards if allowed is not None else ()):
        if card.nic_name not in (allowed or ()):
            yield positions.error(
                ("network", "network_interfaces", index, "nic_name"),
                f"The network card `{card.nic_name}` may not be used by testbeds.",
                "An administrator allows cards of the main host; allowed are: "
                f"{', '.join(allowed or ()) or 'none'}.",
            )


def _bridges(network: Network, positions: Positions) -> Iterator[Finding]:
    seen: dict[str, Path] = {}
    for index, bridge in enumerate(network.bridges):
        path: Path = ("network", "bridges", index)
        at = (*path, "name")
        if not BRIDGE.fullmatch(bridge.name):
            yield positions.error(
                at,
                f"`{bridge.name}` is no bridge name: 1 to 5 of letters, digits, `-` "
                "and `_`, starting with a letter or digit.",
                "For example `br0`.",
            )
        if seen.setdefault(bridge.name, at) != at:
            line = positions.of_value(seen[bridge.name]).line
            yield positions.error(
                at,
                f"The bridge `{bridge.name}` is listed twice; first in line {line}.",
                "Keep one of them.",
            )
        if bridge.protocol is not None and not PROTOCOL.fullmatch(bridge.protocol):
            yield positions.error(
                (*path, "protocol"),
                f"`{bridge.protocol}` is no OpenFlow version.",
                "Write OpenFlow10 to OpenFlow15, for example OpenFlow13.",
            )


def _connections(
    network: Network, names: frozenset[str], positions: Positions
) -> Iterator[Finding]:
    for source, target in network.bridge_connections:
        path: Path = ("network", "bridge_connections", source)
        if source not in names:
            yield _unknown(path, source, names, positions, at_key=True)
        if target not in names and target != source:
            yield _unknown(path, target, names, positions)
        if source == target:
            yield positions.error(
                path, f"`{source}` is connected to itself.", "Name another bridge."
            )


def _loops(network: Network, positions: Positions) -> Iterator[Finding]:
    """Warn at each connection that closes a loop (also a link written both ways)."""
    group = {bridge.name: bridge.name for bridge in network.bridges}

    def root(name: str) -> str:
        while group.setdefault(name, name) != name:
            name = group[name]
        return name

    for source, target in network.bridge_connections:
        if source == target:
            continue
        if root(source) == root(target):
            yield positions.warning(
                ("network", "bridge_connections", source),
                f"The connection {source} to {target} closes a loop; "
                "RSTP is switched on for those bridges.",
                "Remove it unless the loop is what you want to study.",
                at_key=True,
            )
        group[root(source)] = root(target)


def _external(
    network: Network, names: frozenset[str], positions: Positions, *, used: bool
) -> Iterator[Finding]:
    path: Path = ("network", "external_bridge")
    if network.external_bridge is not None:
        if network.external_bridge not in names:
            yield _unknown(path, network.external_bridge, names, positions)
    elif used:
        yield positions.error(
            path,
            "`external_bridge` is missing: guests get their addresses through it.",
            f"Add `external_bridge: {network.bridges[0].name}`.",
        )


def _interfaces(
    draft: Draft, names: frozenset[str], positions: Positions
) -> Iterator[Finding]:
    for interface in interfaces_of(draft):
        if interface.is_on_switch:
            yield positions.error(
                interface.attached,
                f"Guest {interface.guest} is on a logical switch, and `network` has no "
                "`ovn`.",
                "Add `network: {ovn: {switches: …}}`.",
            )
        elif interface.wanted.attached_to not in names:
            yield _unknown(
                interface.attached, interface.wanted.attached_to, names, positions
            )


def _host_interfaces(
    network: Network, names: frozenset[str], positions: Positions
) -> Iterator[Finding]:
    seen: dict[tuple[str, str], Path] = {}
    for index, card in enumerate(network.network_interfaces):
        path: Path = ("network", "network_interfaces", index)
        if card.testbed_bridge not in names:
            at = (*path, "testbed_bridge")
            yield _unknown(at, card.testbed_bridge, names, positions)
        if not HOST_INTERFACE.fullmatch(card.nic_name):
            yield positions.error(
                (*path, "nic_name"),
                f"`{card.nic_name}` is no name of a network card.",
                "What `ip link` shows, up to 15 characters, such as `eth1`.",
            )
        first = seen.setdefault((card.testbed_host, card.nic_name), path)
        if first != path:
            line = positions.of_value(first).line
            yield positions.error(
                (*path, "nic_name"),
                f"`{card.nic_name}` is plugged in twice; first in line {line}.",
                "A network card can be in one bridge.",
            )


def _unknown(
    path: Path,
    name: str,
    names: frozenset[str],
    positions: Positions,
    *,
    at_key: bool = False,
) -> Finding:
    hint = f"Bridges: {_shown(names)}."
    return positions.error(path, f"Unknown bridge `{name}`.", hint, at_key=at_key)


# A file can name thousands of missing bridges; sorting for each took 36 s.
@lru_cache(maxsize=1)
def _shown(names: frozenset[str]) -> str:
    return ", ".join(sorted(names)[:BRIDGES_SHOWN]) or "none"
