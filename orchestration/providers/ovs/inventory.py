"""Lists all bridges and ports of a host's Open vSwitch, with their owners.

One call for all tables, however many testbeds there are; `inventory/things.py` asks.
Ports without our tag are guests' (libvirt makes them) or foreign.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orchestration.providers.ovs.database import Row, read
from orchestration.transport.base import Scope, Transport


@dataclass(frozen=True, slots=True)
class SwitchThing:
    """A bridge, or a port of `bridge`; `label` is the user's name for it.

    `ids` are its external ids, `error` is why its interface does not work.
    """

    name: str
    testbed: str
    label: str
    bridge: str = ""
    ids: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


def observe(
    transport: Transport, *, scope: Scope
) -> tuple[tuple[SwitchThing, ...], tuple[SwitchThing, ...]]:
    """Return all bridges and all ports. Raises: NetworkFailed, HostUnreachable."""
    bridges, ports, interfaces = read(
        transport,
        ("--columns=name,external_ids,ports", "list", "Bridge"),
        ("--columns=_uuid,name,external_ids", "list", "Port"),
        ("--columns=name,error", "list", "Interface"),
        scope=scope,
    )
    homes = {uuid: row.text("name") for row in bridges for uuid in row.values("ports")}
    errors = {row.text("name"): row.text("error") for row in interfaces}
    return (
        tuple(_thing(row, "bridge") for row in bridges),
        tuple(
            replace(
                _thing(row, "link"),
                bridge=homes.get(row.text("_uuid"), ""),
                error=errors.get(row.text("name"), ""),
            )
            for row in ports
        ),
    )


def _thing(row: Row, label: str) -> SwitchThing:
    tags = row.map("external_ids")
    return SwitchThing(
        row.text("name"), tags.get("testbed", ""), tags.get(label, ""), ids=tags
    )
