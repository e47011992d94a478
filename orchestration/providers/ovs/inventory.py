"""Lists all bridges and ports of a host's Open vSwitch, with their owners.

One call for both tables, however many testbeds there are; `inventory/things.py` asks.
Ports without our tag are guests' (libvirt makes them) or foreign.
"""

from dataclasses import dataclass

from orchestration.providers.ovs.database import Row, read
from orchestration.transport.base import Scope, Transport


@dataclass(frozen=True, slots=True)
class SwitchThing:
    """A bridge, or a port of `bridge`; `label` is the user's name for it."""

    name: str
    testbed: str
    label: str
    bridge: str = ""


def observe(
    transport: Transport, *, scope: Scope
) -> tuple[tuple[SwitchThing, ...], tuple[SwitchThing, ...]]:
    """Return all bridges and all ports. Raises: NetworkFailed, HostUnreachable."""
    bridges, ports = read(
        transport,
        ("--columns=name,external_ids,ports", "list", "Bridge"),
        ("--columns=_uuid,name,external_ids", "list", "Port"),
        scope=scope,
    )
    homes = {uuid: row.text("name") for row in bridges for uuid in row.values("ports")}
    return (
        tuple(_thing(row, "bridge") for row in bridges),
        tuple(_thing(row, "link", homes.get(row.text("_uuid"), "")) for row in ports),
    )


def _thing(row: Row, label: str, bridge: str = "") -> SwitchThing:
    tags = row.map("external_ids")
    return SwitchThing(
        row.text("name"), tags.get("testbed", ""), tags.get(label, ""), bridge
    )
