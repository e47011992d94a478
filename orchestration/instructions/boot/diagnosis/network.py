"""Probes the layers between a running domain and its SSH port, on the way in use.

With a management network the way is the management interface, else the first
interface with an address. A fault beside the way becomes a remark: the guest
can be reached without it, but its experiment may not work.
"""

from orchestration.instructions.boot.diagnosis.evidence import (
    Diagnosis,
    Evidence,
    Layer,
)
from orchestration.providers.libvirt import networks, problems
from orchestration.providers.ovs import taps
from orchestration.state.model import InterfaceState, ManagementInterface

_SILENT = ("FAILED", "INCOMPLETE")


def port(evidence: Evidence) -> Diagnosis | None:
    """Check that the interface is plugged into its bridge."""
    port_problems = _port_problems(evidence)
    way = evidence.way
    if way is not None and (words := port_problems.pop(way.name, "")):
        return Diagnosis(
            Layer.PORT,
            f"its {_kind(way)} {way.name} {words}",
            "Start Down and then Up: that plugs it in again.",
            "\n".join(f"{name} {words}" for name, words in port_problems.items()),
        )
    evidence.remarks += [
        f"Interface {name} {words}." for name, words in port_problems.items()
    ]
    return None


def link(evidence: Evidence) -> Diagnosis | None:
    """Check that the interface's cable is plugged in."""
    way = evidence.way
    if way is None:
        return None
    unplugged = problems.links_down(evidence.task.host.libvirt, evidence.domain)
    flags = evidence.device(way.tap).get("flags")
    is_down = isinstance(flags, list) and "UP" not in flags
    if way.mac.lower() not in unplugged and not is_down:
        return None
    why = "is switched off on the host" if is_down else "is unplugged"
    return Diagnosis(
        Layer.LINK,
        f"its {_kind(way)} {way.name} has no link: {way.tap} {why}",
        "Switch it on there: "
        f"`virsh domif-setlink {evidence.guest.domain} {way.tap} up` "
        f"or `ip link set {way.tap} up`.",
        evidence.ask("ip", "link", "show", "dev", way.tap).strip(),
    )


def lease(evidence: Evidence) -> Diagnosis | None:
    """Check that DHCP gave each interface its reserved address."""
    way, missing = evidence.way, _without_lease(evidence)
    if isinstance(way, InterfaceState) and way.name in missing:
        return Diagnosis(
            Layer.LEASE,
            f"its interface {way.name} got no address: DHCP gave {way.mac} no lease",
            "See in its console whether its system asks for one, and whether its "
            "bridge leads to the external bridge.",
            missing[way.name],
        )
    evidence.remarks += [
        f"Interface {name} got no DHCP lease." for name in missing if name
    ]
    return None


def address(evidence: Evidence) -> Diagnosis | None:
    """Check that the guest answers for its address, and no other machine does."""
    way = evidence.way
    if way is None:
        return None
    known = evidence.neighbour(way.address)
    states, mac = known.get("state"), str(known.get("lladdr", "")).lower()
    text = f"ip neigh: {way.address} {mac} {states}"
    if mac and mac != way.mac.lower():
        return Diagnosis(
            Layer.ADDRESS,
            f"another machine ({mac}) answers at its address {way.address}",
            "Two machines have this address: change one of them.",
            text,
        )
    if not isinstance(states, list) or not set(states).intersection(_SILENT):
        return None
    return Diagnosis(
        Layer.ADDRESS,
        f"no machine answers ARP for its address {way.address}",
        "Its system runs without this address: its console shows how far it came.",
        text,
    )


def _port_problems(evidence: Evidence) -> dict[str, str]:
    """Return the faults of the interfaces' ports, by interface."""
    by_tap = {i.tap: i for i in evidence.guest.interfaces}
    wanted = {tap: interface.device for tap, interface in by_tap.items()}
    found = taps.port_problems(
        evidence.task.host.transport, wanted, scope=evidence.task.scope
    )
    port_problems = {by_tap[tap].name: words for tap, words in found.items()}
    if interface := evidence.guest.management:
        words = _management_problem(evidence, interface)
        port_problems |= {interface.name: words} if words else {}
    return port_problems


def _management_problem(evidence: Evidence, interface: ManagementInterface) -> str:
    network = evidence.management
    if network is None:
        return ""
    device = evidence.device(interface.tap)
    if not device:
        return f"is missing: the host has no device {interface.tap}"
    master = device.get("master")
    if master == network.device:
        return ""
    where = f"it is on {master}" if master else "it is on none"
    return f"({interface.tap}) is not on bridge {network.device}: {where}"


def _without_lease(evidence: Evidence) -> dict[str, str]:
    """Return the interfaces without a lease, with the leases of other machines."""
    nat = evidence.task.state.network.nat
    if nat is None:
        return {}
    reserved = {r.mac.lower() for r in nat.reservations}
    asking = [
        i for i in evidence.guest.interfaces if i.dhcp and i.mac.lower() in reserved
    ]
    if not asking:
        return {}
    state = evidence.task.state
    main = evidence.task.hosts.open(state.host(nat.host))
    given = networks.leases(main.libvirt, nat.network, testbed=state.testbed)
    said = "leases: " + (", ".join(f"{m} {a}" for m, a in given.items()) or "none")
    return {i.name: said for i in asking if i.mac.lower() not in given}


def _kind(way: ManagementInterface | InterfaceState) -> str:
    is_management = isinstance(way, ManagementInterface)
    return "management interface" if is_management else "interface"
