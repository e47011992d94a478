"""A host's answers about a guest whose layers are all well, to be spoilt one by one.

The tests of waiting and of the diagnosis give them to a FakeTransport.
"""

import json
import re

from orchestration.state.model import GuestState, ManagementState
from tests.fakes import Answer, Expected

CONSOLE = "tail -c 65536 /console"
OVS = re.compile(r"ovs-vsctl .* list Bridge .*")
DEVICE = re.compile(r"ip -s -j link show dev .*")
NEIGHBOUR = re.compile(r"ip -j neigh show .*")
SIZE = re.compile(r"stat -c %s .*")
LOG = re.compile(r"tail -n 1000 /var/log/libvirt/qemu/.*")
Script = dict[Expected, Answer]


def table(*rows: dict[str, object]) -> str:
    """One table as ovs-vsctl prints it."""
    headings = list(rows[0]) if rows else []
    data = [list(row.values()) for row in rows]
    return json.dumps({"data": data, "headings": headings}) + "\n"


def switch(guest: GuestState, **changes: object) -> str:
    """Bridges, ports and interfaces of a guest with one interface."""
    interface = guest.interfaces[0]
    bridge = {"name": interface.device, "ports": ["uuid", "p1"]}
    port = {"_uuid": ["uuid", changes.pop("port", "p1")], "name": interface.tap}
    row = {"name": interface.tap, "error": ["set", []], "ofport": 1}
    return table(bridge) + table(port) + table({**row, **changes})


def device(master: str, *, packets: int = 9, flags: tuple[str, ...] = ("UP",)) -> str:
    """A network device as `ip` prints it."""
    rx = {"rx": {"packets": packets}}
    return json.dumps([{"master": master, "flags": flags, "stats64": rx}])


def neighbour(mac: str, *states: str) -> str:
    """A neighbour as `ip` prints it."""
    known = {"lladdr": mac} if mac else {}
    return json.dumps([{"dst": "100.64.112.16", **known, "state": states}])


def qemu_log(uuid: str, said: str) -> str:
    """One start of QEMU in its log, as libvirt begins it."""
    begin = "2026-11-26 16:52:44.888+0000: starting up libvirt version: 9.0.0"
    return f"{begin}\n-uuid {uuid} \\\n-msg timestamp=on\n{said}\n"


def answers(guest: GuestState, management: ManagementState) -> Script:
    """Everything that is asked about a guest with one interface."""
    assert guest.management is not None
    return {
        CONSOLE: "Linux version 6.1\nwelcome\n",
        SIZE: "4096\n",
        OVS: switch(guest),
        DEVICE: device(management.device),
        NEIGHBOUR: neighbour(guest.management.mac, "REACHABLE"),
        LOG: qemu_log(guest.uuid, "qemu-system-x86_64: started"),
    }
