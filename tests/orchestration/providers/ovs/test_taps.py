"""Taps of running guests are plugged in again, and nothing else is touched.

What real daemons make of it is in tests/live/test_drift.py.
"""

import json
import re

import pytest

from orchestration.errors import NetworkFailed
from orchestration.providers.ovs import taps
from orchestration.transport.base import Scope
from tests.fakes import FakeTransport, Reply

READ = re.compile(r".*ovs-vsctl .* list .*")
LINKS = re.compile(r".*ip -json link show")


def tables(ports, *, on, down=(), tags=None):
    none = ["set", []]
    bridges = {"headings": ["name", "ports"], "data": [["t7-br0", ["set", on]]]}
    rows = [
        [["uuid", name], name, (tags or {}).get(name, none), none, none]
        for name in ports
    ]
    heads = ["_uuid", "name", "tag", "trunks", "vlan_mode"]
    listed = {"headings": heads, "data": rows}
    states = [[name, "down" if name in down else "up"] for name in ports]
    interfaces = {"headings": ["name", "admin_state"], "data": states}
    return "".join(f"{json.dumps(part)}\n" for part in (bridges, listed, interfaces))


def links(*, down=(), **masters):
    return json.dumps(
        [
            {"ifname": n, "master": m, "flags": [] if n in down else ["UP"]}
            for n, m in masters.items()
        ]
    )


def on(*names):
    return [["uuid", name] for name in names]


def test_taps_that_are_ports_are_not_off_and_no_device_is_looked_at():
    transport = FakeTransport("host-a", [(READ, tables(["t7g0i0"], on=on("t7g0i0")))])

    found = taps.faults(transport, "t7-br0", ["t7g0i0"], scope=Scope())

    assert found == taps.Faults()


def test_taps_that_exist_are_off_and_said_to_be_elsewhere_or_nowhere():
    names = ["t7g0i0", "t7g1i0", "t7g2i0", "t7g3i0"]
    ports = tables(["t7g0i0", "t7g1i0"], on=on("t7g0i0"))
    devices = links(t7g0i0="", t7g1i0="", t7g2i0="", eth0="")
    transport = FakeTransport("host-a", [(READ, ports), (LINKS, devices)])

    found = taps.faults(transport, "t7-br0", names, scope=Scope())

    assert found == taps.Faults({"t7g1i0": True, "t7g2i0": False})


def test_taps_that_are_down_are_found_when_the_kernel_says_so_too():
    names = ["t7g0i0", "t7g1i0"]
    ports = tables(names, on=on(*names), down=names)
    devices = links(t7g0i0="", t7g1i0="", down=["t7g1i0"])
    transport = FakeTransport("host-a", [(READ, ports), (LINKS, devices)])

    found = taps.faults(transport, "t7-br0", names, scope=Scope())

    assert found == taps.Faults(down=("t7g1i0",))


def test_taps_in_a_vlan_are_found_where_they_are_on_the_bridge():
    names = ["t7g0i0", "t7g1i0", "t7g2i0"]
    ports = tables(names, on=on(*names), tags={"t7g1i0": 5})
    transport = FakeTransport("host-a", [(READ, ports)])

    found = taps.faults(transport, "t7-br0", names, scope=Scope())

    assert found == taps.Faults(in_vlan=("t7g1i0",))


def test_bridge_without_guests_is_not_even_asked():
    assert taps.faults(FakeTransport(), "b", [], scope=Scope()) == taps.Faults()
    assert taps.plug_into_network(FakeTransport(), "b", [], scope=Scope()) == ()


@pytest.mark.parametrize(
    "devices",
    [
        links(t7g0im="t7mgmt", t7g1im=""),
        links(t7g0im="t7mgmt", t7g1im="t7mgmt", down=["t7g1im"]),
    ],
)
def test_management_taps_go_back_isolated_and_up_and_only_the_faulty_ones(devices):
    words = ("master t7mgmt", "type bridge_slave isolated on", "up")
    changes = [(f"ip link set dev t7g1im {word}", "") for word in words]
    transport = FakeTransport("host-a", [(LINKS, devices), *changes])

    found = taps.plug_into_network(
        transport, "t7mgmt", ["t7g0im", "t7g1im", "t7g2im"], scope=Scope()
    )

    assert found == ("t7g1im",)
    assert transport.unused == []


def test_failure_names_the_network_and_the_host():
    transport = FakeTransport(
        "host-a",
        [
            (LINKS, links(t7g1im="")),
            (re.compile(r".*master.*"), Reply(exit_code=1, stderr="no such device")),
        ],
    )

    with pytest.raises(NetworkFailed, match="plugged into t7mgmt on"):
        taps.plug_into_network(transport, "t7mgmt", ["t7g1im"], scope=Scope())
