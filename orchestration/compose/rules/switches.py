"""Rules about logical switches and routers, and about the guests on them.

Part of `compose/check.py`. Addresses must belong to their switch's subnet, `dynamic`
needs a router that serves DHCP, and every named entry must exist. Rules about routers
are in `routers.py`; uniqueness is in `interfaces.py`. Pure.
"""

import re
from collections.abc import Iterator

from orchestration.compose.draft import Draft, DraftedInterface, interfaces_of
from orchestration.compose.language.ovn import Acl, Ovn, SwitchPort
from orchestration.compose.names import NAME_LIMIT
from orchestration.compose.reading.positions import Path, Positions
from orchestration.compose.rules.addresses import (
    Subnets,
    address_problem,
    check_address,
    check_mac,
    check_masked,
    parse_address,
)
from orchestration.compose.rules.routers import check_routers, unknown_switch
from orchestration.errors import Finding

NAME = re.compile(r"[A-Za-z0-9]([A-Za-z0-9_.-]*[A-Za-z0-9])?")
PRIORITIES = range(32_767 + 1)


def check_ovn(draft: Draft, positions: Positions) -> Iterator[Finding]:
    """Check the `ovn` part and every guest's interfaces on it."""
    ovn = draft.network.ovn if draft.network else None
    if ovn is None:
        return
    subnets = Subnets(ovn)
    interfaces = tuple(
        interface for interface in interfaces_of(draft) if interface.is_on_switch
    )
    yield from _names(ovn, positions)
    for name, switch in ovn.switches.items():
        path: Path = ("network", "ovn", "switches", name)
        yield from check_masked((*path, "subnet"), switch.subnet, positions)
        for index, port in enumerate(switch.ports):
            below = (*path, "ports", index)
            yield from _port(below, name, port, subnets, positions)
    yield from check_routers(
        ovn, subnets, _dynamic_switches(ovn, interfaces), positions
    )
    if ovn.acl is not None:
        yield from _acl(ovn.acl, ovn, positions)
    for interface in interfaces:
        yield from _interface(interface, subnets, positions)
    yield from _without_network(draft, positions)


def _names(ovn: Ovn, positions: Positions) -> Iterator[Finding]:
    for key, names in (("switches", ovn.switches), ("routers", ovn.routers)):
        for name in names:
            if not NAME.fullmatch(name) or len(name) > NAME_LIMIT:
                yield positions.error(
                    ("network", "ovn", key, name),
                    f"`{name}` is no name for one of the {key}: up to {NAME_LIMIT} of "
                    "letters, digits, `-`, `_` and `.`.",
                    "For example `sw0`.",
                    at_key=True,
                )


def _port(
    path: Path, switch: str, port: SwitchPort, subnets: Subnets, positions: Positions
) -> Iterator[Finding]:
    internal = port.internal
    if internal is None:
        return
    below = (*path, "internal")
    yield from check_mac((*below, "mac"), internal.mac, positions)
    yield from check_address((*below, "ip"), internal.ip, positions)
    yield from _inside((*below, "ip"), internal.ip, switch, subnets, positions)
    if internal.ip is None:
        yield from _given((*below, "ip"), switch, subnets, positions)


def _interface(
    interface: DraftedInterface, subnets: Subnets, positions: Positions
) -> Iterator[Finding]:
    switch = interface.wanted.attached_to
    if switch not in subnets.ovn.switches:
        yield unknown_switch(interface.attached, switch, subnets.ovn, positions)
        return
    if interface.is_dynamic:
        yield from _given(interface.ip, switch, subnets, positions)
    gateway = (*interface.ip[:-1], "gateway")
    yield from _inside(interface.ip, interface.wanted.ip, switch, subnets, positions)
    yield from _inside(gateway, interface.wanted.gateway, switch, subnets, positions)


def _given(
    path: Path, switch: str, subnets: Subnets, positions: Positions
) -> Iterator[Finding]:
    """Check that a router serves DHCP on a switch."""
    if not subnets.has_dhcp(switch):
        yield positions.error(
            path,
            f"No router hands out addresses on switch `{switch}`.",
            "Add a `dhcp` entry for it to a router, or give an `ip`.",
        )


def _inside(
    path: Path,
    address: str | None,
    switch: str,
    subnets: Subnets,
    positions: Positions,
) -> Iterator[Finding]:
    """Check that an address belongs to its switch."""
    found, subnet = parse_address(address or ""), subnets.of(switch)
    problem = address_problem(found, subnet) if found and subnet else ""
    if problem:
        yield positions.error(
            path,
            f"`{address}` {problem} of switch `{switch}`.",
            f"The switch's subnet is {subnet}.",
        )


def _dynamic_switches(
    ovn: Ovn, interfaces: tuple[DraftedInterface, ...]
) -> frozenset[str]:
    """Return the switches that have dynamic addresses."""
    guests = {i.wanted.attached_to for i in interfaces if i.is_dynamic}
    ports = {
        name
        for name, switch in ovn.switches.items()
        for port in switch.ports
        if port.internal is not None and port.internal.ip is None
    }
    return frozenset(guests | ports)


def _acl(acl: Acl, ovn: Ovn, positions: Positions) -> Iterator[Finding]:
    for switch, rules in acl.switches.items():
        base: Path = ("network", "ovn", "acl", "switches", switch)
        if switch not in ovn.switches:
            yield unknown_switch(base, switch, ovn, positions, at_key=True)
        seen: dict[tuple[str, str, int], Path] = {}
        for index, rule in enumerate(rules):
            path = (*base, index)
            if rule.priority not in PRIORITIES:
                yield positions.warning(
                    (*path, "priority"),
                    f"Priority {rule.priority} is below 0, which counts as 0.",
                    "Write 0 to 32767.",
                )
            if not rule.match.strip():
                yield positions.error(
                    (*path, "match"), "`match` is empty.", "For example `ip4`."
                )
            key = (rule.direction, rule.action, rule.priority)
            first = seen.setdefault(key, path)
            if first != path:
                line = positions.of_value(first).line
                yield positions.error(
                    path,
                    "Direction, action and priority are those of the rule in line "
                    f"{line}.",
                    "Join the two matches with `||`, or change the priority.",
                )


def _without_network(draft: Draft, positions: Positions) -> Iterator[Finding]:
    for drafted in draft.machines:
        written = drafted.written
        if written.network is None and drafted.scaling is None:
            yield positions.warning(
                (*drafted.path, "network"),
                f"Machine {drafted.machine.name} has no `network`: it is on no switch.",
                "List its interfaces, or write `network: []` for none.",
            )
