"""Rules about interfaces: their number, and unique names, MACs and addresses.

Part of `compose/check.py`. Names, MACs and addresses must be unique in the whole
testbed, among machines, clones, and ports of logical switches and routers. Pure.
"""

from collections.abc import Iterator

from orchestration.compose.draft import (
    Draft,
    Drafted,
    DraftedInterface,
    interfaces_of,
    machine_interfaces,
)
from orchestration.compose.language.ovn import Ovn
from orchestration.compose.language.schema import Libvirt
from orchestration.compose.reading.positions import Path, Positions
from orchestration.compose.rules.addresses import (
    check_address,
    check_mac,
    parse_address,
    parse_masked,
)
from orchestration.errors import Finding

# Each takes a port of the 255 that PCI Express has, and 50 ms of an emulated boot.
INTERFACES_LIMIT = 32
# A unique property: its name, its value and its path.
Use = tuple[str, str, Path]


def check_interfaces(draft: Draft, positions: Positions) -> Iterator[Finding]:
    """Check each machine's interfaces, then uniqueness among all."""
    for drafted in draft.machines:
        yield from _count(drafted, positions)
        for number, interface in enumerate(machine_interfaces(drafted)):
            yield from check_mac(interface.mac, interface.wanted.mac, positions)
            yield from check_address(interface.ip, interface.wanted.ip, positions)
            path = (*drafted.interface_path(number), "gateway")
            yield from _gateway(path, interface, positions)
    yield from _duplicates(draft, positions)


def _count(drafted: Drafted, positions: Positions) -> Iterator[Finding]:
    count = len(drafted.machine.interfaces)
    if count > INTERFACES_LIMIT:
        yield positions.error(
            drafted.interfaces_path,
            f"{count} interfaces; a guest can have {INTERFACES_LIMIT}.",
        )
    elif count > 1 and not isinstance(drafted.machine.kind, Libvirt):
        yield positions.warning(
            drafted.interface_path(1),
            "Only the first interface is used: this kind of guest has one.",
            "Remove the others.",
        )


def _gateway(
    path: Path, interface: DraftedInterface, positions: Positions
) -> Iterator[Finding]:
    gateway, ip = interface.wanted.gateway, interface.wanted.ip
    if gateway is None:
        return
    yield from check_address(path, gateway, positions)
    if ip is None and not interface.is_on_switch:
        yield positions.warning(
            path,
            "`gateway` has no effect without `ip`: DHCP gives the guest its gateway.",
            "Add `ip`, or remove `gateway`.",
        )
    elif ip == gateway:
        yield positions.error(
            path, f"`{gateway}` is the guest's own address.", "Name a router's."
        )


def _duplicates(draft: Draft, positions: Positions) -> Iterator[Finding]:
    seen: dict[tuple[str, str], Path] = {}
    for what, value, at in _uses(draft):
        first = seen.setdefault((what, value), at)
        if first is not at:
            line = positions.of_value(first).line
            yield positions.error(
                at,
                f"The {what} `{value}` is used twice; first in line {line}.",
                "Each must be different.",
            )


def _uses(draft: Draft) -> Iterator[Use]:
    ovn = draft.network.ovn if draft.network else None
    if ovn is not None:
        yield from _switch_uses(ovn)
        yield from _router_uses(ovn)
    for drafted in draft.machines:
        name = drafted.machine.name
        yield "machine name", name, (*drafted.path, "name")
        scaling = drafted.machine.scaling
        for number in range(len(scaling.clones) if scaling else 0):
            yield "machine name", f"{name}-{number}", (*drafted.path, "name")
    for interface in interfaces_of(draft):
        if interface.wanted.mac is not None:
            yield "MAC", interface.wanted.mac, interface.mac
        if interface.wanted.ip is not None:
            yield "address", _normal(interface.wanted.ip), interface.ip


def _switch_uses(ovn: Ovn) -> Iterator[Use]:
    for name, switch in ovn.switches.items():
        for index, port in enumerate(switch.ports):
            path: Path = ("network", "ovn", "switches", name, "ports", index)
            yield "port name", port.name, (*path, "name")
            if port.internal is None:
                continue
            below = (*path, "internal")
            if port.internal.mac is not None:
                yield "MAC", port.internal.mac, (*below, "mac")
            if port.internal.ip is not None:
                yield "address", _normal(port.internal.ip), (*below, "ip")


def _router_uses(ovn: Ovn) -> Iterator[Use]:
    for name, router in ovn.routers.items():
        for index, port in enumerate(router.ports):
            path: Path = ("network", "ovn", "routers", name, "ports", index)
            yield "port name", port.name, (*path, "name")
            if port.mac is not None:
                yield "MAC", port.mac, (*path, "mac")
            address = parse_masked(port.gateway_ip)
            if address is not None:
                yield "address", str(address.ip), (*path, "gateway_ip")


def _normal(address: str) -> str:
    return str(parse_address(address) or address)
