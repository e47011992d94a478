"""MACs and addresses of all interfaces, decided together since they must not collide.

Used by `state.build` before guests are built. Which interfaces are asked to use DHCP:
those that can reach the external bridge and were given no address. Where DHCP cannot
answer, an interface has no address.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from orchestration.compose.language.schema import Spec
from orchestration.state.addresses import (
    Card,
    assign_addresses,
    assign_macs,
    is_within,
    nat_subnet,
)
from orchestration.state.model import State
from orchestration.state.names import MANAGEMENT_INTERFACE, Names
from orchestration.state.topology import Components


@dataclass(frozen=True, slots=True)
class Cards:
    """MACs and addresses of all interfaces.

    `reserved` are those that the NAT network's DHCP server knows, in order; the
    others with an address have it from the user.
    """

    macs: Mapping[Card, str]
    reserved: Mapping[Card, str]


def interface_name(index: int) -> str:
    """Return what a guest calls its interface."""
    return f"eth{index}"


def build_cards(
    spec: Spec, names: Names, components: Components, previous: State | None
) -> Cards:
    """Decide MACs and addresses. Raises: StateError (an address wanted twice)."""
    given: dict[Card, str | None] = {}
    static: dict[Card, str] = {}
    dynamic: list[Card] = []
    subnet = nat_subnet(names.number)
    external = spec.network.external_bridge
    for machine in spec.machines:
        for index, interface in enumerate(machine.interfaces):
            card = (machine.name, interface_name(index))
            given[card] = interface.mac
            if external is None:
                continue
            if not components.are_connected(interface.attached_to, external):
                continue
            if interface.ip is None:
                dynamic.append(card)
            elif is_within(interface.ip, subnet):
                static[card] = interface.ip
        if spec.testbed_options.management_network:
            given[machine.name, MANAGEMENT_INTERFACE] = None
    kept = _previous_addresses(previous)
    addresses = assign_addresses(subnet, dynamic, kept=kept, static=static)
    addresses |= static
    return Cards(
        macs=assign_macs(names.testbed, given),
        reserved={card: addresses[card] for card in given if card in addresses},
    )


def _previous_addresses(previous: State | None) -> dict[Card, str]:
    return {
        (guest.name, interface.name): interface.address
        for guest in (previous.machines if previous else ())
        for interface in guest.interfaces
        if interface.dhcp
    }
