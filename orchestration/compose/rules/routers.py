"""Rules about logical routers: ports, routes, translations and DHCP.

Used by `switches.py`. Next hops and gateways of routers must be reachable through one
of their ports; DHCP serves only switches that have a port of the router. Pure.
"""

from collections.abc import Iterator
from ipaddress import IPv4Network
from itertools import islice

from orchestration.compose.language.ovn import Dhcp, Nat, NatType, Ovn, Router
from orchestration.compose.reading.positions import Path, Positions
from orchestration.compose.rules.addresses import (
    Subnets,
    address_problem,
    check_address,
    check_mac,
    check_masked,
    parse_address,
    parse_masked,
)
from orchestration.errors import Finding

SWITCHES_SHOWN = 20


def check_routers(
    ovn: Ovn, subnets: Subnets, dynamic: frozenset[str], positions: Positions
) -> Iterator[Finding]:
    """Check every router; `dynamic` are the switches with dynamic addresses."""
    served: dict[str, Path] = {}
    for name, router in ovn.routers.items():
        path: Path = ("network", "ovn", "routers", name)
        yield from _ports(path, router, subnets, positions)
        yield from _routes(path, router, positions)
        for index, entry in enumerate(router.nat):
            yield from _nat((*path, "nat", index), entry, positions)
        linked = frozenset(port.switch for port in router.ports)
        for index, dhcp in enumerate(router.dhcp):
            at = (*path, "dhcp", index)
            yield from _dhcp(at, dhcp, linked, subnets, positions)
            if dhcp.switch in ovn.switches:
                yield from _serves((*at, "switch"), dhcp, dynamic, served, positions)


def unknown_switch(
    path: Path, name: str, ovn: Ovn, positions: Positions, *, at_key: bool = False
) -> Finding:
    """Build the error about a switch that does not exist."""
    known = ", ".join(islice(ovn.switches, SWITCHES_SHOWN)) or "none"
    return positions.error(
        path, f"Unknown switch `{name}`.", f"Switches: {known}.", at_key=at_key
    )


def _ports(
    path: Path, router: Router, subnets: Subnets, positions: Positions
) -> Iterator[Finding]:
    linked: dict[str, Path] = {}
    for index, port in enumerate(router.ports):
        below = (*path, "ports", index)
        at = (*below, "gateway_ip")
        yield from check_mac((*below, "mac"), port.mac, positions)
        yield from check_masked(at, port.gateway_ip, positions)
        if port.switch not in subnets.ovn.switches:
            switch = (*below, "switch")
            yield unknown_switch(switch, port.switch, subnets.ovn, positions)
            continue
        first = linked.setdefault(port.switch, below)
        if first != below:
            line = positions.of_value(first).line
            yield positions.error(
                (*below, "switch"),
                f"The router is on switch `{port.switch}` twice; first in line {line}.",
                "One port per switch is enough.",
            )
        address, subnet = parse_masked(port.gateway_ip), subnets.of(port.switch)
        problem = address_problem(address.ip, subnet) if address and subnet else ""
        if problem:
            yield positions.error(
                at,
                f"`{port.gateway_ip}` {problem} of switch `{port.switch}`.",
                f"The switch's subnet is {subnet}.",
            )


def _routes(path: Path, router: Router, positions: Positions) -> Iterator[Finding]:
    networks = {
        found.network
        for port in router.ports
        if (found := parse_masked(port.gateway_ip)) is not None
    }
    # Indexed by length: thousands of ports and routes took seconds one by one.
    lengths = {network.prefixlen for network in networks}
    for index, route in enumerate(router.static_routes):
        below = (*path, "static_routes", index)
        yield from check_masked((*below, "prefix"), route.prefix, positions)
        yield from check_address((*below, "nexthop"), route.nexthop, positions)
        hop = parse_address(route.nexthop)
        if hop is not None and not any(
            IPv4Network((hop, length), strict=False) in networks for length in lengths
        ):
            yield positions.warning(
                (*below, "nexthop"),
                f"`{route.nexthop}` is on no network of this router.",
                "Give the router a port there, or name another next hop.",
            )


def _nat(path: Path, entry: Nat, positions: Positions) -> Iterator[Finding]:
    yield from check_address((*path, "external_ip"), entry.external_ip, positions)
    at = (*path, "logical_ip")
    if "/" not in entry.logical_ip or entry.nat_type is NatType.DNAT_AND_SNAT:
        yield from check_address(at, entry.logical_ip, positions)
    else:
        yield from check_masked(at, entry.logical_ip, positions)


def _dhcp(
    path: Path,
    entry: Dhcp,
    linked: frozenset[str],
    subnets: Subnets,
    positions: Positions,
) -> Iterator[Finding]:
    at = (*path, "switch")
    if entry.switch not in subnets.ovn.switches:
        yield unknown_switch(at, entry.switch, subnets.ovn, positions)
        return
    if entry.switch not in linked:
        yield positions.error(
            at,
            f"The router has no port on switch `{entry.switch}`.",
            "Add one under `ports`.",
        )
    limits, subnet = entry.exclude_ips, subnets.of(entry.switch)
    below = (*path, "exclude_ips")
    for key, text in (("from", limits.from_), ("to", limits.to)):
        yield from check_address((*below, key), text, positions)
        address = parse_address(text)
        if address and subnet and address not in subnet:
            yield positions.error(
                (*below, key),
                f"`{text}` is outside the subnet of switch `{entry.switch}`.",
                f"The switch's subnet is {subnet}.",
            )
    first, last = parse_address(limits.from_), parse_address(limits.to)
    if first and last and first > last:
        yield positions.error(below, "The range ends before it begins.")


def _serves(
    path: Path,
    entry: Dhcp,
    dynamic: frozenset[str],
    served: dict[str, Path],
    positions: Positions,
) -> Iterator[Finding]:
    if entry.switch not in dynamic:
        yield positions.error(
            path,
            f"Nothing on switch `{entry.switch}` has a `dynamic` address.",
            "Remove the entry, or make an interface dynamic.",
        )
    first = served.setdefault(entry.switch, path)
    if first != path:
        line = positions.of_value(first).line
        yield positions.error(
            path,
            f"Switch `{entry.switch}` has two `dhcp` entries; first in line {line}.",
            "Keep one of them.",
        )
