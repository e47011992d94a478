"""Computes the Open vSwitch clauses that bring a bridge or a port to the state.

Pure: present rows and wanted values in, clauses of one transaction out; without a
difference there are no clauses. `bridges.py` reads the rows and sends the clauses.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from orchestration.providers.ovs.database import Clause, Row, assign
from orchestration.state.model import BridgeState, TunnelEnd, TunnelState

BRIDGE_COLUMNS = (
    "name,datapath_type,protocols,external_ids,controller,rstp_enable,fail_mode,"
    "stp_enable,other_config,ports"
)
PORT_COLUMNS = "_uuid,name,external_ids,tag,trunks,vlan_mode"
# A bridge and its ports are made without these. Each changes where frames go.
_PLAIN = {"fail_mode": "", "stp_enable": "false", "other_config": ""}
NO_VLAN = ("tag=[]", "trunks=[]", "vlan_mode=[]")


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
    device, wanted = bridge.device, wanted_settings(bridge, testbed=testbed)
    present = {**_PLAIN, "controller": ""}
    changes: list[Clause] = [("--may-exist", "add-br", device)]
    if current is not None:
        present, changes = settings_of(current, controllers), []
    differing = {key: v for key, v in wanted.items() if present.get(key) != v}
    controller = differing.pop("controller", None)
    if differing:
        pairs = (_assigned(key, value) for key, value in differing.items())
        changes.append(("set", "Bridge", device, *pairs))
    if controller is not None:
        verb = ("set-controller", device, controller)
        changes.append(verb if controller else ("del-controller", device))
    return changes


def wanted_settings(bridge: BridgeState, *, testbed: str) -> dict[str, str]:
    """Return a bridge's settings by column as the state has them."""
    return {
        "datapath_type": bridge.datapath.value,
        "protocols": bridge.protocol or "",
        "rstp_enable": "true" if bridge.rstp else "false",
        "external_ids:testbed": testbed,
        "external_ids:bridge": bridge.name,
        "controller": bridge.controller or "",
        **_PLAIN,
    }


def settings_of(row: Row, controllers: Sequence[Row]) -> dict[str, str]:
    """Return the same settings of a bridge that is there."""
    tags, uuids = row.map("external_ids"), row.values("controller")
    targets = {c.text("target") for c in controllers if c.text("_uuid") in uuids}
    other = sorted(row.map("other_config").items())
    return {
        "datapath_type": row.text("datapath_type"),
        "protocols": ",".join(row.values("protocols")),
        "rstp_enable": row.text("rstp_enable"),
        "external_ids:testbed": tags.get("testbed", ""),
        "external_ids:bridge": tags.get("bridge", ""),
        "controller": " ".join(sorted(targets)),
        "fail_mode": row.text("fail_mode"),
        "stp_enable": row.text("stp_enable"),
        "other_config": " ".join(f"{key}={value}" for key, value in other),
    }


def _assigned(column: str, value: str) -> str:
    return assign(column, {} if column == "other_config" else value)


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
            and not is_in_vlan(current)
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
    is_tagged = current is not None and not make and is_in_vlan(current)
    plain = NO_VLAN if is_tagged else ()
    return [
        *make,
        ("set", "Port", port.name, *tag_words, *plain),
        ("set", "Interface", port.name, kind, assign("options", options)),
    ]


def tunnel_options(tunnel: TunnelState, end: TunnelEnd) -> dict[str, str]:
    """Return the options of one end of a tunnel."""
    options = {"remote_ip": end.remote_address, "key": str(tunnel.key)}
    return options | ({"local_ip": end.local_address} if end.local_address else {})


def is_in_vlan(port: Row) -> bool:
    """Return whether somebody put a port into a VLAN, or bound it to some."""
    return any(port.values(word.partition("=")[0]) for word in NO_VLAN)


def is_same_device(external_ids: Mapping[str, str], index: int) -> bool:
    """Return whether a port was made for the device that now has its name.

    Ports of older versions do not say it.
    """
    return not index or external_ids.get("ifindex", str(index)) == str(index)
