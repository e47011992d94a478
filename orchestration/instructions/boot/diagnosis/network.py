"""The layers between a running domain and its SSH port, on the way that we take.

With a management network that way is the management interface, else the first
interface with an address. What is broken beside the way becomes a remark: the guest
can be reached without it, but its experiment may not work.
"""

from orchestration.instructions.boot.diagnosis.evidence import Diagnosis, Layer, Look
from orchestration.providers.libvirt import networks, problems
from orchestration.providers.ovs import taps
from orchestration.state.model import InterfaceState, ManagementInterface

_SILENT = ("FAILED", "INCOMPLETE")


def port(look: Look) -> Diagnosis | None:
    """See that the interface hangs on its bridge."""
    port_problems = _port_problems(look)
    way = look.way
    if way is not None and (words := port_problems.pop(way.name, "")):
        return Diagnosis(
            Layer.PORT,
            f"its {_kind(way)} {way.name} {words}",
            "Take the testbed down and up again: that plugs it in anew.",
            "\n".join(f"{name} {words}" for name, words in port_problems.items()),
        )
    look.remarks += [
        f"Interface {name} {words}." for name, words in port_problems.items()
    ]
    return None


def link(look: Look) -> Diagnosis | None:
    """See that the interface's cable is plugged in."""
    way = look.way
    if way is None:
        return None
    unplugged = problems.links_down(look.task.host.libvirt, look.guest.domain)
    flags = look.device(way.tap).get("flags")
    is_down = isinstance(flags, list) and "UP" not in flags
    if way.mac.lower() not in unplugged and not is_down:
        return None
    why = "is switched off on the host" if is_down else "is unplugged"
    return Diagnosis(
        Layer.LINK,
        f"its {_kind(way)} {way.name} has no link: {way.tap} {why}",
        f"Switch it on there: `virsh domif-setlink {look.guest.domain} {way.tap} up` "
        f"or `ip link set {way.tap} up`.",
        look.ask("ip", "link", "show", "dev", way.tap).strip(),
    )


def lease(look: Look) -> Diagnosis | None:
    """See that DHCP gave each interface its reserved address."""
    way, missing = look.way, _without_lease(look)
    if isinstance(way, InterfaceState) and way.name in missing:
        return Diagnosis(
            Layer.LEASE,
            f"its interface {way.name} got no address: DHCP gave {way.mac} no lease",
            "See in its console whether its system asks for one, and whether its "
            "bridge leads to the external bridge.",
            missing[way.name],
        )
    look.remarks += [f"Interface {name} got no DHCP lease." for name in missing if name]
    return None


def address(look: Look) -> Diagnosis | None:
    """See that the guest answers for its address, and nobody else does."""
    way = look.way
    if way is None:
        return None
    known = look.neighbour(way.address)
    states, mac = known.get("state"), str(known.get("lladdr", "")).lower()
    evidence = f"ip neigh: {way.address} {mac} {states}"
    if mac and mac != way.mac.lower():
        return Diagnosis(
            Layer.ADDRESS,
            f"another machine ({mac}) answers at its address {way.address}",
            "Two machines have this address: change one of them.",
            evidence,
        )
    if not isinstance(states, list) or not set(states).intersection(_SILENT):
        return None
    return Diagnosis(
        Layer.ADDRESS,
        f"nobody answers ARP for its address {way.address}",
        "Its system runs without this address: its console shows how far it came.",
        evidence,
    )


def _port_problems(look: Look) -> dict[str, str]:
    """Return what is wrong with each interface's port, by interface."""
    by_tap = {i.tap: i for i in look.guest.interfaces}
    wanted = {tap: interface.device for tap, interface in by_tap.items()}
    found = taps.port_problems(look.task.host.transport, wanted, scope=look.task.scope)
    port_problems = {by_tap[tap].name: words for tap, words in found.items()}
    if interface := look.guest.management:
        words = _management_problem(look, interface)
        port_problems |= {interface.name: words} if words else {}
    return port_problems


def _management_problem(look: Look, interface: ManagementInterface) -> str:
    network = look.management
    if network is None:
        return ""
    device = look.device(interface.tap)
    if not device:
        return f"is missing: the host has no device {interface.tap}"
    master = device.get("master")
    if master == network.device:
        return ""
    where = f"it is on {master}" if master else "it is on none"
    return f"({interface.tap}) is not on bridge {network.device}: {where}"


def _without_lease(look: Look) -> dict[str, str]:
    """Return the interfaces that DHCP gave nothing, with what it gave to others."""
    nat = look.task.state.network.nat
    if nat is None:
        return {}
    reserved = {r.mac.lower() for r in nat.reservations}
    asking = [i for i in look.guest.interfaces if i.dhcp and i.mac.lower() in reserved]
    if not asking:
        return {}
    main = look.task.hosts.open(look.task.state.host(nat.host))
    given = networks.leases(main.libvirt, nat.network)
    said = "leases: " + (", ".join(f"{m} {a}" for m, a in given.items()) or "none")
    return {i.name: said for i in asking if i.mac.lower() not in given}


def _kind(way: ManagementInterface | InterfaceState) -> str:
    is_management = isinstance(way, ManagementInterface)
    return "management interface" if is_management else "interface"
