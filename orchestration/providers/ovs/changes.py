"""Computes the Open vSwitch clauses that bring a bridge or a port to the state.

Pure: present rows and wanted values in, clauses of one transaction out; without a
difference there are no clauses. `bridges.py` reads the rows and sends the clauses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestration.providers.ovs.database import Clause, Row, assign
from orchestration.state.model import BridgeState, TunnelEnd, TunnelState


@dataclass(frozen=True, slots=True)
class Port:
    """A port as wanted: its bridge, its kind, its link.

    `index` is the kernel's number of a network device, 0 where it is none or unknown.
    It is written to the port: the userspace datapath opens a device once, and receives
    nothing from another one of the same name.
    """

    device: str
    name: str
    label: str
    kind: str = ""
    options: Mapping[str, str] = field(default_factory=dict)
    index: int = 0

    @property
    def tags(self) -> dict[str, str]:
        """The port's external ids, without its testbed."""
        return {
            "link": self.label,
            **({"ifindex": str(self.index)} if self.index else {}),
        }


def bridge_changes(
    bridge: BridgeState,
    current: Row | None,
    controllers: Sequence[Row],
    *,
    testbed: str,
) -> list[Clause]:
    """Return the clauses that make the bridge as wanted; none when it is."""
    device = bridge.device
    wanted = {
        "datapath_type": bridge.datapath.value,
        "protocols": bridge.protocol or "",
        "rstp_enable": "true" if bridge.rstp else "false",
        "external_ids:testbed": testbed,
        "external_ids:bridge": bridge.name,
    }
    changes: list[Clause] = []
    if current is None:
        changes.append(("--may-exist", "add-br", device))
    if current is None or _bridge_facts(current) != wanted:
        pairs = (assign(key, value) for key, value in wanted.items())
        changes.append(("set", "Bridge", device, *pairs))
    uuids = current.values("controller") if current else ()
    targets = {row.text("target") for row in controllers if row.text("_uuid") in uuids}
    if bridge.controller and targets != {bridge.controller}:
        changes.append(("set-controller", device, bridge.controller))
    if not bridge.controller and targets:
        changes.append(("del-controller", device))
    return changes


def port_changes(
    port: Port,
    testbed: str,
    bridge: Row,
    current: Row | None,
    interface: Row | None,
) -> list[Clause]:
    """Return the clauses that make the port as wanted; a broken one is replaced."""
    tags = {"testbed": testbed, **port.tags}
    options = dict(port.options)
    if current is not None and interface is not None:
        in_place = current.text("_uuid") in bridge.values("ports")
        known = current.map("external_ids")
        is_same = is_same_device(known, port.index)
        usable = in_place and is_same and not interface.text("error")
        is_so = (
            interface.text("type") == port.kind
            and interface.map("options") == options
            and tags.items() <= known.items()
        )
        if usable and is_so:
            return []
        make: list[Clause] = []
        if not usable:
            make = [("del-port", port.name), ("add-port", port.device, port.name)]
    else:
        make = [("add-port", port.device, port.name)]
    tag_words = (assign(f"external_ids:{key}", tags[key]) for key in tags)
    kind = assign("type", port.kind) if port.kind else 'type=""'
    return [
        *make,
        ("set", "Port", port.name, *tag_words),
        ("set", "Interface", port.name, kind, assign("options", options)),
    ]


def tunnel_options(tunnel: TunnelState, end: TunnelEnd) -> dict[str, str]:
    """Return the options of one end of a tunnel."""
    options = {"remote_ip": end.remote_address, "key": str(tunnel.key)}
    return options | ({"local_ip": end.local_address} if end.local_address else {})


def is_same_device(external_ids: Mapping[str, str], index: int) -> bool:
    """Return whether a port was made for the device that now has its name.

    Ports of older versions do not say it.
    """
    return not index or external_ids.get("ifindex", str(index)) == str(index)


def _bridge_facts(row: Row) -> dict[str, str]:
    tags = row.map("external_ids")
    return {
        "datapath_type": row.text("datapath_type"),
        "protocols": ",".join(row.values("protocols")),
        "rstp_enable": row.text("rstp_enable"),
        "external_ids:testbed": tags.get("testbed", ""),
        "external_ids:bridge": tags.get("bridge", ""),
    }
