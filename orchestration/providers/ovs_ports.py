"""Whether guests' taps hang on their Open vSwitch bridges, and what is wrong if not.

libvirt plugs a tap in when its guest starts; afterwards anybody on the host can pull
it out. The diagnosis of a guest that did not come up asks here.
"""

from collections.abc import Mapping

from orchestration.providers.ovsdb import Row, list_clause, read
from orchestration.transport.base import Scope, Transport


def port_problems(
    transport: Transport, wanted: Mapping[str, str], *, scope: Scope
) -> dict[str, str]:
    """Return what is wrong with each tap, by tap; `wanted` has each tap's bridge.

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
    """Return the bridge that has each port; another one than these has no name."""
    by_uuid = {uuid: b.text("name") for b in bridges for uuid in b.values("ports")}
    return {p.text("name"): by_uuid.get(p.text("_uuid"), "another") for p in ports}
