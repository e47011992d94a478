"""The network side of a simulated machine's shell: ovs-vsctl, ip and others.

Understands the commands of `ovs/bridges.py` and `linux/ip_link.py`, and answers as Open
vSwitch does (RFC 7047 notation), so that a second run finds the results of the first.
"""

import json
import re
from collections.abc import Callable, Mapping
from itertools import groupby

from orchestration.transport.simulated.machine import (
    Answer,
    Bridge,
    Link,
    Machine,
    Port,
)

VERSION = "3.1.0"
_PAIR = re.compile(r'([\w.-]+)=("(?:[^"\\]|\\.)*"|[^,}]*)')
Rows = dict[str, dict[str, object]]


def ovs_vsctl(machine: Machine, words: list[str]) -> Answer:
    """Run the clauses of one `ovs-vsctl`, separated by `--`."""
    printed = []
    for is_break, group in groupby(words, lambda word: word == "--"):
        clause = [] if is_break else list(group)
        options = [word for word in clause if word.startswith("--")]
        verb, *args = [word for word in clause if word not in options] or [""]
        if verb == "list":
            answer = _list(machine, options, args)
        else:
            answer = _VERBS.get(verb, _nothing)(machine, args)
        if answer.exit_code:
            return answer
        printed.append(answer.stdout)
    return Answer(stdout="".join(printed))


def ovs_appctl(machine: Machine, words: list[str]) -> Answer:
    """`ovs-appctl version`."""
    return Answer(stdout=f"ovs-vswitchd (Open vSwitch) {VERSION}\n")


def ip(machine: Machine, words: list[str]) -> Answer:
    """`ip link add|set|delete|show`; there are no addresses."""
    match [word for word in words if word[:1] != "-"]:
        case ["link", "show", *which]:
            return Answer(stdout=_links(machine, only_pairs="veth" in which))
        case ["link", "add", a, "type", "veth", "peer", "name", b]:
            if a in machine.links or b in machine.links:
                return Answer(2, "", "RTNETLINK answers: File exists\n")
            index = machine.next_index
            machine.links[a] = Link(peer=b, index=index)
            machine.links[b] = Link(peer=a, index=index + 1)
            machine.next_index += 2
        case ["link", "set", "dev", device, *rest]:
            link = machine.links.setdefault(device, Link())
            link.up = "up" in rest or (link.up and "down" not in rest)
            if "master" in rest:
                link.master = rest[rest.index("master") + 1]
        case ["link", "delete", "dev", device]:
            found = machine.links.pop(device, None)
            if found is None:
                return Answer(1, "", f'Cannot find device "{device}"\n')
            machine.links.pop(found.peer, None)
        case ["address", "show", *_]:
            return Answer(stdout="[]")
    return Answer()


def _links(machine: Machine, *, only_pairs: bool) -> str:
    return json.dumps(
        [
            {
                "ifindex": link.index,
                "ifname": name,
                "link": link.peer,
                "flags": ["UP"] if link.up else [],
                **({"master": link.master} if link.master else {}),
            }
            for name, link in machine.links.items()
            if link.peer or not only_pairs
        ]
    )


def _list(machine: Machine, options: list[str], args: list[str]) -> Answer:
    rows = _TABLES[args[0]](machine) if args[0] in _TABLES else {}
    missing = [name for name in args[1:] if name not in rows]
    if missing and "--if-exists" not in options:
        what = f'no row "{missing[0]}" in table {args[0]}'
        return Answer(1, "", f"ovs-vsctl: {what}\n")
    wanted = [rows[name] for name in args[1:] or rows if name in rows]
    columns = next(
        word.removeprefix("--columns=").split(",")
        for word in (*options, "--columns=name")
        if word.startswith("--columns=")
    )
    data = [[row.get(column, ["set", []]) for column in columns] for row in wanted]
    return Answer(stdout=json.dumps({"data": data, "headings": columns}) + "\n")


def _bridge_rows(machine: Machine) -> Rows:
    return {
        name: {
            "name": name,
            "datapath_type": bridge.datapath_type,
            "protocols": ["set", bridge.protocols.split()],
            "rstp_enable": bridge.rstp_enable == "true",
            "stp_enable": bridge.stp_enable == "true",
            "fail_mode": ["set", bridge.fail_mode.split()],
            "external_ids": _map(bridge.external_ids),
            "other_config": _map(bridge.other_config),
            "controller": ["set", [_uuid(name)] if bridge.controller else []],
            "ports": [
                "set",
                [_uuid(p) for p, port in machine.ports.items() if port.bridge == name],
            ],
        }
        for name, bridge in machine.bridges.items()
    }


def _port_rows(machine: Machine) -> Rows:
    return {
        name: {
            "_uuid": _uuid(name),
            "name": name,
            "external_ids": _map(port.external_ids),
            "tag": ["set", port.tag.split()],
            "trunks": ["set", port.trunks.split(",") if port.trunks else []],
            "vlan_mode": ["set", port.vlan_mode.split()],
        }
        for name, port in machine.ports.items()
    }


def _interface_rows(machine: Machine) -> Rows:
    return {
        name: {
            "name": name,
            "type": port.type,
            "options": _map(port.options),
            "admin_state": "up" if _is_up(machine, name) else "down",
            "error": ["set", []],
        }
        for name, port in machine.ports.items()
    }


def _controller_rows(machine: Machine) -> Rows:
    return {
        name: {"_uuid": _uuid(name), "target": bridge.controller}
        for name, bridge in machine.bridges.items()
        if bridge.controller
    }


def _is_up(machine: Machine, name: str) -> bool:
    return name in machine.links and machine.links[name].up


def _add_bridge(machine: Machine, args: list[str]) -> Answer:
    machine.bridges.setdefault(args[0], Bridge())
    machine.ports.setdefault(args[0], Port(args[0], type="internal"))
    return Answer()


def _delete_bridge(machine: Machine, args: list[str]) -> Answer:
    name = args[0]
    machine.bridges.pop(name, None)
    machine.links.pop(name, None)
    kept = {n: port for n, port in machine.ports.items() if port.bridge != name}
    machine.ports = kept
    return Answer()


def _add_port(machine: Machine, args: list[str]) -> Answer:
    bridge, name = args[:2]
    if bridge not in machine.bridges:
        return Answer(1, "", f"ovs-vsctl: no bridge named {bridge}\n")
    if name in machine.ports:
        return Answer(
            1, "", f"ovs-vsctl: cannot create a port named {name}: it exists\n"
        )
    machine.ports[name] = Port(bridge)
    return Answer()


def _delete_port(machine: Machine, args: list[str]) -> Answer:
    machine.ports.pop(args[-1], None)
    return Answer()


def _set(machine: Machine, args: list[str]) -> Answer:
    table, name, *pairs = args
    rows: Mapping[str, object] = machine.bridges if table == "Bridge" else machine.ports
    row = rows.get(name)
    if row is None:
        return Answer(1, "", f'ovs-vsctl: no row "{name}" in table {table}\n')
    for pair in pairs:
        column, _, text = pair.partition("=")
        column, _, key = column.partition(":")
        if key:
            getattr(row, column)[key] = _unquoted(text)
        elif text.startswith("{"):
            found = {k: _unquoted(value) for k, value in _PAIR.findall(text)}
            setattr(row, column, found)
        else:
            setattr(row, column, "" if text == "[]" else _unquoted(text))
    return Answer()


def _set_controller(machine: Machine, args: list[str]) -> Answer:
    if args[0] in machine.bridges:
        machine.bridges[args[0]].controller = args[1] if len(args) > 1 else ""
    return Answer()


def _nothing(machine: Machine, args: list[str]) -> Answer:
    return Answer()


def _unquoted(text: str) -> str:
    return str(json.loads(text)) if text.startswith('"') else text


def _uuid(name: str) -> list[str]:
    return ["uuid", name]


def _map(values: Mapping[str, str]) -> list[object]:
    return ["map", [list(pair) for pair in sorted(values.items())]]


_TABLES: dict[str, Callable[[Machine], Rows]] = {
    "Bridge": _bridge_rows,
    "Port": _port_rows,
    "Interface": _interface_rows,
    "Controller": _controller_rows,
}
_VERBS: dict[str, Callable[[Machine, list[str]], Answer]] = {
    "add-br": _add_bridge,
    "del-br": _delete_bridge,
    "add-port": _add_port,
    "del-port": _delete_port,
    "set": _set,
    "set-controller": _set_controller,
    "del-controller": _set_controller,
}
