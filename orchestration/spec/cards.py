"""All network cards of a draft, those of clones included, with where each stands.

So that a rule about bridges, switches, MACs or addresses is written once, whether an
interface was listed, stood alone, or came out of a range for clones. Used by the
checks only. Pure.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from orchestration.spec.draft import Draft, Drafted
from orchestration.spec.positions import Path
from orchestration.spec.schema import Interface
from orchestration.spec.written import IpType, PlainScaling


@dataclass(frozen=True, slots=True)
class Card:
    """One interface of one guest; paths of what it is plugged into, address and MAC.

    A card whose address cannot be read has none and is not dynamic either.
    """

    guest: str
    interface: Interface
    attached: Path
    ip: Path
    mac: Path
    is_on_switch: bool
    is_dynamic: bool


def cards_of(draft: Draft) -> Iterator[Card]:
    """Return the cards of all machines in the order of the text."""
    for drafted in draft.machines:
        yield from machine_cards(drafted)
        yield from clone_cards(drafted)


def machine_cards(drafted: Drafted) -> Iterator[Card]:
    """Return the cards that a machine lists itself."""
    for number, interface in enumerate(drafted.machine.interfaces):
        path = drafted.interface_path(number)
        yield Card(
            guest=drafted.machine.name,
            interface=interface,
            attached=(*path, drafted.attach_key),
            ip=(*path, "ip"),
            mac=(*path, "mac"),
            is_on_switch=drafted.attach_key == "switch",
            is_dynamic=interface.ip is None,
        )


def clone_cards(drafted: Drafted) -> Iterator[Card]:
    """Return the cards that `scaling` gives to the clones."""
    machine, written = drafted.machine, drafted.scaling
    if machine.scaling is None or written is None:
        return
    base: Path = (*drafted.kind_path, "scaling", "interfaces")
    is_map = isinstance(written.interfaces, dict)
    counted = _counted(written)
    for number, clone in enumerate(machine.scaling.clones):
        for interface in clone.interfaces:
            path = (*base, interface.attached_to) if is_map else base
            yield Card(
                guest=f"{machine.name}-{number}",
                interface=interface,
                attached=path,
                ip=(*path, "ip_type"),
                mac=(*path, "mac_range"),
                is_on_switch=is_map,
                is_dynamic=interface.attached_to not in counted,
            )


def _counted(written: PlainScaling) -> frozenset[str]:
    """Return the switches on which clones get addresses from a range."""
    if not isinstance(written.interfaces, dict):
        return frozenset()
    return frozenset(
        switch
        for switch, entry in written.interfaces.items()
        if isinstance(entry.ip_type, IpType)
    )
