"""Rules about fixed addresses on bridges: conflicts and reachable networks.

Part of `compose/check.py`. An address has no mask in the language: in the testbed's own
NAT subnet it has that subnet's, elsewhere /24. The testbed's subnets are known once it
has a number; rules that depend on them are left out before. Pure.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from itertools import groupby

from orchestration.compose.draft import (
    Draft,
    DraftedInterface,
    clone_interfaces,
    interfaces_of,
    machine_interfaces,
)
from orchestration.compose.language.schema import CloudImage, Libvirt, Network
from orchestration.compose.pools import Ranges
from orchestration.compose.reading.positions import Path, Positions
from orchestration.compose.rules.addresses import (
    address_problem,
    impossible,
    parse_address,
)
from orchestration.compose.rules.hosts import KnownHost
from orchestration.errors import Finding


@dataclass(frozen=True, slots=True, kw_only=True)
class _Surroundings:
    """The facts that the rules about fixed addresses use.

    `outside` are the bridges that are connected to the external one, `hosts` the names
    of hosts by their addresses. `taken` are the addresses of guests; it is None where
    the YAML cannot show them all.
    """

    ranges: Ranges
    outside: frozenset[str]
    hosts: Mapping[str, str]
    taken: frozenset[IPv4Address] | None
    has_management: bool

    def subnet_of(self, address: IPv4Address) -> IPv4Network | None:
        """Return the network that a guest with this address is in, if it is known."""
        own = self.ranges.nat_subnet
        if own is not None and address in own:
            return own
        if own is None and address in self.ranges.nat:
            return None
        return IPv4Network((address, 24), strict=False)

    def is_inside(self, address: IPv4Address) -> bool:
        """Return whether an address is, or may be, in the testbed's NAT subnet."""
        return address in (self.ranges.nat_subnet or self.ranges.nat)


def check_static_addresses(
    draft: Draft, positions: Positions, ranges: Ranges, hosts: Sequence[KnownHost]
) -> Iterator[Finding]:
    """Check the fixed addresses and gateways of all guests on bridges."""
    network = draft.network
    if network is None or network.ovn is not None:
        return
    around = _surroundings(draft, network, ranges, hosts)
    interfaces = [
        interface for interface in interfaces_of(draft) if not interface.is_on_switch
    ]
    for interface in interfaces:
        address = _usable(interface.wanted.ip)
        if address is not None:
            yield from _address(interface, address, around, positions)
            yield from _gateway(interface, address, around, positions)
    guests = set() if around.has_management else set(_with_account(draft))
    for guest, own in groupby(interfaces, key=lambda interface: interface.guest):
        mine = tuple(own)
        yield from _way_out(mine, around, positions)
        if guest in guests:
            yield from _login(mine, around, positions)


def _surroundings(
    draft: Draft, network: Network, ranges: Ranges, hosts: Sequence[KnownHost]
) -> _Surroundings:
    kinds = [drafted.machine.kind for drafted in draft.machines]
    is_known = not network.network_interfaces and all(
        isinstance(kind, Libvirt) and isinstance(kind.libvirt_type, CloudImage)
        for kind in kinds
    )
    fixed = (_usable(interface.wanted.ip) for interface in interfaces_of(draft))
    return _Surroundings(
        ranges=ranges,
        outside=_connected(network),
        hosts={host.address: host.name for host in hosts if host.address},
        taken=frozenset(filter(None, fixed)) if is_known else None,
        has_management=draft.options.management_network,
    )


def _usable(text: str | None) -> IPv4Address | None:
    """Parse an address; None for one that `check_address` has refused."""
    found = parse_address(text or "")
    return found if found is not None and not impossible(found) else None


def _connected(network: Network) -> frozenset[str]:
    """Return the external bridge and those that are connected to it."""
    found = {network.external_bridge} if network.external_bridge else set()
    links = set(network.bridge_connections)
    while new := {link for link in links if not found.isdisjoint(link)}:
        found.update(bridge for link in new for bridge in link)
        links -= new
    return frozenset(found)


def _address(
    interface: DraftedInterface,
    address: IPv4Address,
    around: _Surroundings,
    positions: Positions,
) -> Iterator[Finding]:
    problem, hint = _owner(interface, address, around)
    if problem:
        yield positions.error(interface.ip, f"`{address}` {problem}.", hint)


def _owner(
    interface: DraftedInterface, address: IPv4Address, around: _Surroundings
) -> tuple[str, str]:
    """Return the conflict of an address and a hint; empty texts for a free address."""
    ranges, subnet = around.ranges, around.subnet_of(address)
    is_outside = interface.wanted.attached_to in around.outside
    if around.has_management and address in ranges.management:
        return (
            f"belongs to the management networks, {ranges.management}",
            "Choose an address outside of it, or leave `ip` out.",
        )
    problem = address_problem(address, subnet) if subnet else ""
    if subnet and problem:
        first, last = subnet.network_address + 1, subnet.broadcast_address - 1
        return f"{problem} ({subnet})", f"Choose one of {first} to {last}."
    if ranges.nat_subnet and address == ranges.nat_subnet.network_address + 1:
        return "is the main host's own address", "Leave `ip` out, or choose another."
    if is_outside and address in ranges.nat and not around.is_inside(address):
        return (
            f"belongs to another testbed; this one has {ranges.nat_subnet}",
            "Leave `ip` out, or choose an address of this testbed's.",
        )
    if is_outside and str(address) in around.hosts:
        return (
            f"is the address of testbed host {around.hosts[str(address)]}",
            "Leave `ip` out, or choose another.",
        )
    return "", ""


def _gateway(
    interface: DraftedInterface,
    address: IPv4Address,
    around: _Surroundings,
    positions: Positions,
) -> Iterator[Finding]:
    gateway, subnet = _usable(interface.wanted.gateway), around.subnet_of(address)
    path = (*interface.ip[:-1], "gateway")
    if gateway is None or gateway == address:
        return
    if subnet is not None and gateway not in subnet:
        yield positions.error(
            path,
            f"The gateway `{gateway}` is not in {subnet}, the network of `{address}`.",
            "Name a router in the guest's own network.",
        )
    elif subnet is not None and address_problem(gateway, subnet):
        problem = address_problem(gateway, subnet)
        yield positions.error(
            path, f"The gateway `{gateway}` {problem} ({subnet}).", "Name a router."
        )
    elif around.taken is not None and not (
        around.is_inside(gateway) or gateway in around.taken
    ):
        yield positions.warning(
            path,
            f"Nothing in this testbed has the address of the gateway `{gateway}`.",
            "Give it to the guest that routes, or remove `gateway`.",
        )


def _way_out(
    interfaces: tuple[DraftedInterface, ...],
    around: _Surroundings,
    positions: Positions,
) -> Iterator[Finding]:
    """Warn of a guest that is connected to the outside and has no route to it."""
    outside = [i for i in interfaces if i.wanted.attached_to in around.outside]
    if any(i.wanted.gateway for i in interfaces):
        return
    if outside and all(_is_strange(interface, around) for interface in outside):
        yield _no_way_out(outside[0].ip, around.ranges, positions)


def _with_account(draft: Draft) -> Iterator[str]:
    """Yield the guests to which the testbed logs in: those of cloud images."""
    for drafted in draft.machines:
        kind = drafted.machine.kind
        if isinstance(kind, Libvirt) and isinstance(kind.libvirt_type, CloudImage):
            yield from {i.guest for i in machine_interfaces(drafted)}
            yield from {i.guest for i in clone_interfaces(drafted)}


def _login(
    interfaces: tuple[DraftedInterface, ...],
    around: _Surroundings,
    positions: Positions,
) -> Iterator[Finding]:
    """Refuse a guest whose only known address for SSH is not the testbed's.

    Otherwise the testbed would connect to any machine that a user names.
    """
    for interface in interfaces:
        address = _usable(interface.wanted.ip)
        if address is None and interface.wanted.attached_to in around.outside:
            return
        if address is not None:
            if not around.is_inside(address):
                yield _no_login(interface, address, around.ranges, positions)
            return


def _no_login(
    interface: DraftedInterface,
    address: IPv4Address,
    ranges: Ranges,
    positions: Positions,
) -> Finding:
    own = ranges.nat_subnet or f"one of {ranges.nat}"
    return positions.error(
        interface.ip,
        f"The testbed would log in to guest {interface.guest} at `{address}`, which is "
        f"not in its own network, {own}.",
        "Leave `management_network` on, or give an earlier interface an address of the "
        "testbed's.",
    )


def _is_strange(interface: DraftedInterface, around: _Surroundings) -> bool:
    """Return whether an address is valid, free and outside the external network."""
    address = _usable(interface.wanted.ip)
    if address is None or around.is_inside(address):
        return False
    return not _owner(interface, address, around)[0]


def _no_way_out(path: Path, ranges: Ranges, positions: Positions) -> Finding:
    own = ranges.nat_subnet or f"one of {ranges.nat}"
    return positions.warning(
        path,
        f"With this address the guest has no gateway and no name server: it is not in the "
        f"external bridge's network, {own}.",
        "Leave `ip` out, or add `gateway` where another guest routes.",
    )
