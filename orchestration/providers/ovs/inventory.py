"""Lists all bridges and ports of a host's Open vSwitch, with their owners.

One call for all tables, however many testbeds there are; `inventory/things.py` asks.
Ports without our tag are guests' (libvirt makes them) or foreign.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from orchestration.providers.ovs.changes import (
    BRIDGE_COLUMNS,
    PORT_COLUMNS,
    is_in_vlan,
    settings_of,
)
from orchestration.providers.ovs.database import Row, read
from orchestration.transport.base import Scope, Transport


@dataclass(frozen=True, slots=True)
class SwitchThing:
    """A bridge, or a port of `bridge`; `label` is the user's name for it.

    `ids` are its external ids, `settings` those of a bridge by column. Of a port's
    interface come the kind, the options, and the error because of which it does not
    work.
    """

    name: str
    testbed: str
    label: str
    bridge: str = ""
    ids: Mapping[str, str] = field(default_factory=dict)
    kind: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    error: str = ""
    in_vlan: bool = False
    settings: Mapping[str, str] = field(default_factory=dict)


def observe(
    transport: Transport, *, scope: Scope
) -> tuple[tuple[SwitchThing, ...], tuple[SwitchThing, ...]]:
    """Return all bridges and all ports. Raises: NetworkFailed, HostUnreachable."""
    bridges, ports, interfaces, controllers = read(
        transport,
        (f"--columns={BRIDGE_COLUMNS}", "list", "Bridge"),
        (f"--columns={PORT_COLUMNS}", "list", "Port"),
        ("--columns=name,type,options,error", "list", "Interface"),
        ("--columns=_uuid,target", "list", "Controller"),
        scope=scope,
    )
    homes = {uuid: row.text("name") for row in bridges for uuid in row.values("ports")}
    cards = {row.text("name"): row for row in interfaces}
    found = (_port(row, cards.get(row.text("name"))) for row in ports)
    return (
        tuple(
            replace(_thing(row, "bridge"), settings=settings_of(row, controllers))
            for row in bridges
        ),
        tuple(
            replace(port, bridge=homes.get(row.text("_uuid"), ""))
            for row, port in zip(ports, found, strict=True)
        ),
    )


def _port(row: Row, interface: Row | None) -> SwitchThing:
    port = replace(_thing(row, "link"), in_vlan=is_in_vlan(row))
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
