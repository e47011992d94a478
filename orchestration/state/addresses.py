"""Addresses, MACs and DNS names: derived or counted, never chosen at random.

Inside a testbed's subnet (`compose/pools.py`) addresses are assigned in the order of
the YAML, and an interface keeps its previous one. Used by `state.build`, which also
decides which interfaces get an address.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Address, IPv4Network, ip_address

from orchestration.compose.language.schema import Spec
from orchestration.compose.pools import SUBNET_PREFIX
from orchestration.compose.rules.machines import is_address_like
from orchestration.errors import StateError
from orchestration.state.model import State
from orchestration.state.names import MANAGEMENT_INTERFACE, Names
from orchestration.state.topology import Components

# A guest's interface, by the guest's name and the interface's name in it.
InterfaceKey = tuple[str, str]

# Addresses below are reserved: .1 is the host's (gateway, DHCP, DNS), the rest is
# spare.
FIRST_GUEST = 16

# The prefix of libvirt and QEMU: locally administered, not multicast.
MAC_PREFIX = "52:54"


def host_address(subnet: IPv4Network) -> str:
    """Return the address that the host has in a subnet."""
    return str(subnet.network_address + 1)


def is_within(address: str, subnet: IPv4Network) -> bool:
    """Return whether an address (of any version) belongs to a subnet."""
    return ip_address(address) in subnet


def static_prefix(address: str, subnet: IPv4Network) -> int:
    """Return the prefix of an address that the user chose.

    Source: the language has no masks; outside our own subnet it means /24.
    """
    if is_within(address, subnet):
        return SUBNET_PREFIX
    return 24 if ip_address(address).version == 4 else 64


def assign_addresses(
    subnet: IPv4Network,
    keys: Iterable[InterfaceKey],
    *,
    kept: Mapping[InterfaceKey, str],
    static: Mapping[InterfaceKey, str],
    leased: Iterable[str] = (),
) -> dict[InterfaceKey, str]:
    """Assign each interface a free address; interfaces keep their previous one.

    Addresses in `static` are not free. `leased` are those that a DHCP server may hold
    for MACs that are gone. Raises: StateError (two interfaces want the same address, or
    the subnet is full).
    """
    taken = _taken(subnet, static)
    keys = tuple(keys)
    assigned: dict[InterfaceKey, str] = {}
    for key in keys:
        address = kept.get(key, "")
        if address and address not in taken and _is_for_guests(address, subnet):
            assigned[key] = address
            taken.add(address)
    free = _free(subnet, {*kept.values(), *leased})
    for key in keys:
        if key not in assigned:
            assigned[key] = _next_free(subnet, free, taken)
    return {key: assigned[key] for key in keys}


def _taken(subnet: IPv4Network, static: Mapping[InterfaceKey, str]) -> set[str]:
    owners = {
        host_address(subnet): "the main host",
        str(subnet.network_address): "the subnet itself",
        str(subnet.broadcast_address): "everybody (broadcast)",
    }
    for (guest, interface), address in static.items():
        if address in owners:
            raise StateError(
                f"Interface {interface} of guest {guest} wants {address}, "
                f"which belongs to {owners[address]}.",
                hint="Give it another address, or leave `ip` out.",
            )
        owners[address] = f"guest {guest}"
    return set(owners)


def _is_for_guests(address: str, subnet: IPv4Network) -> bool:
    offset = int(IPv4Address(address)) - int(subnet.network_address)
    return FIRST_GUEST <= offset < subnet.num_addresses - 1


def _free(subnet: IPv4Network, used: set[str]) -> Iterator[str]:
    """Yield the free addresses, then those with a previous owner.

    A DHCP server keeps such a lease for a while and gives its address to no other
    client.
    """
    for offset in range(FIRST_GUEST, subnet.num_addresses - 1):
        address = str(subnet.network_address + offset)
        if address not in used:
            yield address
    yield from (a for a in sorted(used) if _is_for_guests(a, subnet))


def _next_free(subnet: IPv4Network, free: Iterable[str], taken: set[str]) -> str:
    for address in free:
        if address not in taken:
            return address
    raise StateError(
        f"The subnet {subnet} has no address left.",
        hint=f"A testbed can have {subnet.num_addresses - FIRST_GUEST - 1} addresses; "
        "split it into two.",
    )


def assign_macs(
    testbed: str, given: Mapping[InterfaceKey, str | None]
) -> dict[InterfaceKey, str]:
    """Assign each interface the MAC of the YAML, or derive one that is free."""
    taken = {mac for mac in given.values() if mac}
    macs: dict[InterfaceKey, str] = {}
    for key, mac in given.items():
        macs[key] = mac or _derived_mac(testbed, key, taken)
        taken.add(macs[key])
    return macs


def _derived_mac(testbed: str, key: InterfaceKey, taken: set[str]) -> str:
    seed = "/".join((testbed, *key))
    salt = 0
    while True:
        text = f"{seed}/{salt}" if salt else seed
        digest = sha256(text.encode()).digest()[:4].hex(":")
        mac = f"{MAC_PREFIX}:{digest}"
        if mac not in taken:
            return mac
        salt += 1


def dns_names(
    testbed: str, keys: Iterable[InterfaceKey]
) -> dict[InterfaceKey, tuple[str, ...]]:
    """Name each interface in DNS: a guest's first by the guest, the others with theirs.

    A name that two guests could claim goes to the one whose full name it is. No
    interface gets a name that resolvers read as an address.
    """
    keys = tuple(keys)
    full = {f"{testbed}-{guest}" for guest, _ in keys}
    taken = full | {guest for guest, _ in keys}
    seen: set[str] = set()
    names: dict[InterfaceKey, tuple[str, ...]] = {}
    for guest, interface in keys:
        if guest in seen:
            names[guest, interface] = (_further_name(guest, interface, taken),)
            continue
        seen.add(guest)
        short = () if guest in full or is_address_like(guest) else (guest,)
        names[guest, interface] = (f"{testbed}-{guest}", *short)
    return names


def _further_name(guest: str, interface: str, taken: set[str]) -> str:
    name, count = f"{guest}-{interface}", 1
    while name in taken:
        count += 1
        name = f"{guest}-{interface}-{count}"
    taken.add(name)
    return name


@dataclass(frozen=True, slots=True)
class Addressing:
    """MACs and addresses of all interfaces.

    `reserved` are those that the NAT network's DHCP server has, in order; all other
    addresses come from the user.
    """

    macs: Mapping[InterfaceKey, str]
    reserved: Mapping[InterfaceKey, str]


def interface_name(index: int) -> str:
    """Return the name of an interface inside its guest."""
    return f"eth{index}"


def build_addressing(
    spec: Spec,
    names: Names,
    components: Components,
    subnet: IPv4Network,
    previous: State | None,
) -> Addressing:
    """Decide MACs and addresses. Raises: StateError (an address wanted twice)."""
    given: dict[InterfaceKey, str | None] = {}
    static: dict[InterfaceKey, str] = {}
    dynamic: list[InterfaceKey] = []
    external = spec.network.external_bridge
    for machine in spec.machines:
        for index, interface in enumerate(machine.interfaces):
            key = (machine.name, interface_name(index))
            given[key] = interface.mac
            if external is None:
                continue
            if not components.are_connected(interface.attached_to, external):
                continue
            if interface.ip is None:
                dynamic.append(key)
            elif is_within(interface.ip, subnet):
                static[key] = interface.ip
        if spec.testbed_options.management_network:
            given[machine.name, MANAGEMENT_INTERFACE] = None
    macs = assign_macs(names.testbed, given)
    kept, leased = _previous_addresses(previous, macs)
    addresses = assign_addresses(
        subnet, dynamic, kept=kept, static=static, leased=leased
    )
    addresses |= static
    return Addressing(
        macs=macs,
        reserved={key: addresses[key] for key in given if key in addresses},
    )


def _previous_addresses(
    previous: State | None, macs: Mapping[InterfaceKey, str]
) -> tuple[dict[InterfaceKey, str], list[str]]:
    """Return the address that each interface keeps, and the leases of its former MACs.

    A DHCP server treats another MAC as another client; the old lease lasts for a while.
    """
    kept: dict[InterfaceKey, str] = {}
    leased: list[str] = []
    for guest in previous.machines if previous else ():
        for interface in (i for i in guest.interfaces if i.dhcp):
            key = (guest.name, interface.name)
            if macs.get(key, interface.mac).lower() == interface.mac.lower():
                kept[key] = interface.address
            else:
                leased.append(interface.address)
    return kept, leased
