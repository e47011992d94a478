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

    `ids` are its external ids. Of its interface come the kind, the options, and the
    error because of which it does not work.
    """

    name: str
    testbed: str
    label: str
    bridge: str = ""
    ids: Mapping[str, str] = field(default_factory=dict)
    kind: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    error: str = ""


def observe(
    transport: Transport, *, scope: Scope
) -> tuple[tuple[SwitchThing, ...], tuple[SwitchThing, ...]]:
    """Return all bridges and all ports. Raises: NetworkFailed, HostUnreachable."""
    bridges, ports, interfaces = read(
        transport,
        ("--columns=name,external_ids,ports", "list", "Bridge"),
        ("--columns=_uuid,name,external_ids", "list", "Port"),
        ("--columns=name,type,options,error", "list", "Interface"),
        scope=scope,
    )
    homes = {uuid: row.text("name") for row in bridges for uuid in row.values("ports")}
    cards = {row.text("name"): row for row in interfaces}
    found = (_port(row, cards.get(row.text("name"))) for row in ports)
    return (
        tuple(_thing(row, "bridge") for row in bridges),
        tuple(
            replace(port, bridge=homes.get(row.text("_uuid"), ""))
            for row, port in zip(ports, found, strict=True)
        ),
    )


def _port(row: Row, interface: Row | None) -> SwitchThing:
    port = _thing(row, "link")
    if interface is None:
        return port
    return replace(
        port,
        kind=interface.text("type"),
        options=interface.map("options"),
        error=interface.text("error"),
    )


def _thing(row: Row, label: str) -> SwitchThing:
    tags = row.map("external_ids")
    return SwitchThing(
        row.text("name"), tags.get("testbed", ""), tags.get(label, ""), ids=tags
    )
