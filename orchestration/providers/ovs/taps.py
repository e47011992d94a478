"""Guests' taps: puts them on their Open vSwitch bridge, or reports why not.

libvirt plugs taps in when guests start and removes them when they end; it cannot move
one. `ensure_tap` moves one guest's, with libvirt's external ids; `faults` finds loose
ones and `plug_into_network` puts them back; `port_problems` lists problems for the
diagnosis of a guest. Used by the instructions of networks and interfaces.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestration.errors import NetworkFailed
from orchestration.providers.failures import Failure, run_or_fail
from orchestration.providers.linux import ip_link
from orchestration.providers.ovs.changes import NO_VLAN, PORT_COLUMNS, is_in_vlan
from orchestration.providers.ovs.database import (
    Row,
    assign,
    list_clause,
    read,
    refuse_foreign,
    write,
)
from orchestration.transport.base import Scope, Transport, command


def ensure_tap(
    transport: Transport,
    device: str,
    tap: str,
    *,
    identity: Mapping[str, str],
    scope: Scope,
) -> bool:
    """Make the tap a port of bridge `device`; False when it was.

    `identity` is the set of ids that libvirt writes to its own ports. Raises:
    NetworkFailed.
    """
    bridges, ports, interfaces = read(
        transport,
        list_clause("Bridge", "name,ports", device),
        list_clause("Port", "_uuid,name", tap),
        list_clause("Interface", "name,error,external_ids", tap),
        scope=scope,
    )
    if not bridges:
        raise NetworkFailed(
            f"The bridge {device} does not exist on {transport.machine}.",
            hint="Run `up` again: it makes missing bridges.",
        )
    is_here = ports and ports[0].text("_uuid") in bridges[0].values("ports")
    is_here = is_here and not any(row.text("error") for row in interfaces)
    known = interfaces[0].map("external_ids") if interfaces else {}
    if is_here and identity.items() <= known.items():
        return False
    words = (assign(f"external_ids:{key}", identity[key]) for key in sorted(identity))
    plug = [("--if-exists", "del-port", tap), ("add-port", device, tap)]
    clauses = [*([] if is_here else plug), ("set", "Interface", tap, *words)]
    what = f"The tap {tap} could not be moved to {device} on {transport.machine}."
    write(transport, clauses, what, scope=scope)
    return True


def require_tap(
    transport: Transport, device: str, tap: str, *, testbed: str, scope: Scope
) -> None:
    """Let a tap pass that is a port of a bridge with the testbed's mark.

    Raises: ForeignThing (the bridge is another's), NetworkFailed (no such port).
    """
    bridges, ports = read(
        transport,
        list_clause("Bridge", "name,external_ids,ports", device),
        list_clause("Port", "_uuid,name", tap),
        scope=scope,
    )
    for row in bridges:
        refuse_foreign(row, f"bridge {device}", testbed, transport.machine)
    here = {uuid for row in bridges for uuid in row.values("ports")}
    if not any(row.text("_uuid") in here for row in ports):
        raise NetworkFailed(
            f"The tap {tap} is no port of {device} on {transport.machine}.",
            hint="The guest may be shut off: start it, or use Up.",
        )


def port_problems(
    transport: Transport, wanted: Mapping[str, str], *, scope: Scope
) -> dict[str, str]:
    """Return each tap's problem, by tap; `wanted` has each tap's bridge.

    Raises: NetworkFailed (Open vSwitch cannot be asked), HostUnreachable.
    """
    if not wanted:
        return {}
    taps, devices = sorted(wanted), sorted(set(wanted.values()))
    bridges, ports, interfaces = read(
        transport,
        list_clause("Bridge", "name,ports", *devices),
        list_clause("Port", "_uuid,name", *taps),
        list_clause("Interface", "name,error,ofport", *taps),
        scope=scope,
    )
    by_tap = {row.text("name"): row for row in interfaces}
    holders = _holders(bridges, ports)
    known = {row.text("name") for row in bridges}
    found = {
        tap: _problem(tap, wanted[tap], known, holders, by_tap.get(tap)) for tap in taps
    }
    return {tap: words for tap, words in found.items() if words}


def _problem(
    tap: str,
    device: str,
    bridges: set[str],
    holders: Mapping[str, str],
    interface: Row | None,
) -> str:
    if device not in bridges:
        return f"({tap}) has no bridge: {device} does not exist"
    holder = holders.get(tap)
    if holder is None or interface is None:
        return f"({tap}) is not a port of bridge {device}"
    if holder != device:
        return f"({tap}) is a port of {holder} bridge, not of {device}"
    if error := interface.text("error"):
        return f"({tap}) does not work in the switch: {error}"
    return ""


def _holders(bridges: list[Row], ports: list[Row]) -> dict[str, str]:
    """Return each port's bridge, "another" when it is none of these."""
    by_uuid = {uuid: b.text("name") for b in bridges for uuid in b.values("ports")}
    return {p.text("name"): by_uuid.get(p.text("_uuid"), "another") for p in ports}


@dataclass(frozen=True, slots=True)
class Faults:
    """Taps that exist and carry nothing.

    `off` are not on their bridge: true for those on another bridge instead. `down` are
    set down, whether on it or not. `in_vlan` are on it, in a VLAN.
    """

    off: Mapping[str, bool] = field(default_factory=dict)
    down: tuple[str, ...] = ()
    in_vlan: tuple[str, ...] = ()


def faults(
    transport: Transport, device: str, taps: Sequence[str], *, scope: Scope
) -> Faults:
    """Find the faults of a bridge's taps; the kernel is asked only where there may be."""
    if not taps:
        return Faults()
    bridges, ports, interfaces = read(
        transport,
        list_clause("Bridge", "name,ports", device),
        list_clause("Port", PORT_COLUMNS, *taps),
        list_clause("Interface", "name,admin_state", *taps),
        scope=scope,
    )
    here = {uuid for row in bridges for uuid in row.values("ports")}
    ports_of = {row.text("name"): row.text("_uuid") for row in ports}
    off = [tap for tap in taps if ports_of.get(tap) not in here]
    is_any_down = any(row.text("admin_state") == "down" for row in interfaces)
    there = ip_link.links(transport, scope=scope) if off or is_any_down else {}
    return Faults(
        {tap: tap in ports_of for tap in off if tap in there},
        tuple(tap for tap in taps if tap in there and not there[tap].up),
        tuple(
            row.text("name")
            for row in ports
            if row.text("_uuid") in here and is_in_vlan(row)
        ),
    )


def leave_vlans(
    transport: Transport, device: str, taps: Sequence[str], *, scope: Scope
) -> None:
    """Take a bridge's taps out of their VLANs. Raises: NetworkFailed."""
    what = f"Guests on {device} could not be taken out of VLANs on {transport.machine}."
    write(
        transport, [("set", "Port", tap, *NO_VLAN) for tap in taps], what, scope=scope
    )


def plug_into_network(
    transport: Transport, device: str, taps: Sequence[str], *, scope: Scope
) -> tuple[str, ...]:
    """Make the taps that exist isolated ports of a libvirt network's bridge, and up."""
    there = ip_link.links(transport, scope=scope) if taps else {}
    known = [(tap, there[tap]) for tap in taps if tap in there]
    found = tuple(tap for tap, link in known if link.master != device or not link.up)
    failure = Failure(
        NetworkFailed,
        f"Guests could not be plugged into {device} on {transport.machine}.",
        "Look whether the libvirt network is active there.",
    )
    for tap in found:
        words = f"link set dev {tap} master {device}"
        slave = f"link set dev {tap} type bridge_slave isolated on"
        for line in (words, slave, f"link set dev {tap} up"):
            cmd = command("ip", *line.split()).with_root()
            run_or_fail(transport, cmd, failure, scope=scope)
    return found
