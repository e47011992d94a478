"""Open vSwitch: one read, one write, and hands off what others own.

What the real daemons make of it is in tests/live/test_ovs.py.
"""

import json
import re

import pytest

from orchestration.errors import ForeignThing, HostUnreachable, NetworkFailed
from orchestration.providers.linux.ip_link import SILENCE_HOST
from orchestration.providers.ovs import bridges
from orchestration.state.model import (
    BridgeState,
    Datapath,
    PatchState,
    TunnelEnd,
    TunnelState,
)
from orchestration.transport.base import Scope, command
from orchestration.transport.simulated.transport import SimulatedTransport
from tests.fakes import FakeTransport, Reply
from tests.tags import OWN_TAG

SILENT = str(command("sh", "-c", SILENCE_HOST, "sh", "d1br0"))
ANY_READ = re.compile(r"ovs-vsctl .* list .*")
ANY_WRITE = re.compile(r"ovs-vsctl (?!.* list ).*")


def table(*rows):
    headings = list(rows[0]) if rows else []
    data = [list(row.values()) for row in rows]
    return json.dumps({"data": data, "headings": headings}) + "\n"


def bridge_row(owner="demo", **changes):
    tags = [["testbed", owner], ["bridge", "br0"]] if owner else []
    return {
        "name": "d1br0",
        "datapath_type": "netdev",
        "protocols": ["set", []],
        "external_ids": ["map", tags],
        "controller": ["set", []],
        "rstp_enable": False,
        "fail_mode": ["set", []],
        "stp_enable": False,
        "other_config": ["map", []],
        "ports": ["uuid", "p1"],
        **changes,
    }


def bridge(datapath=Datapath.NETDEV, **changes):
    return BridgeState(
        name="br0", host="host-a", device="d1br0", datapath=datapath, **changes
    )


def tunnel(remote="10.0.0.2", key=7):
    end = TunnelEnd(
        host="host-a",
        device="d1br0",
        port="d1t0",
        local_address="10.0.0.1",
        remote_address=remote,
    )
    return TunnelState(name="br0", kind="vxlan", key=key, ends=(end, end)), end


@pytest.fixture
def scope():
    return Scope(OWN_TAG)


@pytest.fixture
def simulated(tmp_path):
    return SimulatedTransport("host-a", tmp_path)


def test_new_bridge_is_one_transaction_and_comes_up_without_offload(scope):
    host = FakeTransport(
        "host-a",
        [
            (ANY_READ, table() * 3),
            (ANY_WRITE, ""),
            (SILENT, ""),
            ("ethtool -K d1br0 tx off", ""),
            ("ip link set dev d1br0 up", ""),
        ],
    )
    wanted = bridge(protocol="OpenFlow13", controller="tcp:198.51.100.5:6653")

    assert bridges.ensure_bridge(host, wanted, testbed="demo", scope=scope)

    assert len(host.calls) == 5
    assert host.lines[1] == (
        "ovs-vsctl --timeout=20 --format=json -- --may-exist add-br d1br0 "
        "-- set Bridge d1br0 datapath_type=netdev protocols=OpenFlow13 "
        "rstp_enable=false external_ids:testbed=demo external_ids:bridge=br0 "
        "-- set-controller d1br0 tcp:198.51.100.5:6653"
    )


def test_kernel_bridge_keeps_its_offload(scope):
    host = FakeTransport(
        "host-a",
        [
            (ANY_READ, table() * 3),
            (ANY_WRITE, ""),
            (SILENT, ""),
            ("ip link set dev d1br0 up", ""),
        ],
    )

    assert bridges.ensure_bridge(
        host, bridge(Datapath.SYSTEM), testbed="demo", scope=scope
    )


def test_unchanged_bridge_costs_one_read(scope):
    up = {"name": "d1br0", "admin_state": "up"}
    answer = table(bridge_row()) + table(up) + table()
    host = FakeTransport("host-a", [(ANY_READ, answer)])

    assert not bridges.ensure_bridge(host, bridge(), testbed="demo", scope=scope)
    assert len(host.calls) == 1


@pytest.mark.parametrize(
    ("changed", "clause"),
    [
        ({"fail_mode": "secure"}, "fail_mode=[]"),
        ({"stp_enable": True}, "stp_enable=false"),
        ({"rstp_enable": True}, "rstp_enable=false"),
        ({"protocols": "OpenFlow13"}, "protocols=[]"),
        ({"other_config": ["map", [["mac-aging-time", "1"]]]}, "other_config={}"),
    ],
)
def test_setting_of_a_bridge_that_somebody_changed_is_set_back(scope, changed, clause):
    up = {"name": "d1br0", "admin_state": "up"}
    answer = table(bridge_row(**changed)) + table(up) + table()
    host = FakeTransport("host-a", [(ANY_READ, answer), (ANY_WRITE, "")])

    assert bridges.ensure_bridge(host, bridge(), testbed="demo", scope=scope)

    assert host.calls[1].argv[3:] == ("--", "set", "Bridge", "d1br0", clause)


@pytest.mark.parametrize(
    ("present", "wanted", "clause"),
    [
        ("tcp:192.0.2.9:6653", None, ("del-controller", "d1br0")),
        (
            "tcp:192.0.2.9:6653",
            "tcp:192.0.2.1:6653",
            ("set-controller", "d1br0", "tcp:192.0.2.1:6653"),
        ),
    ],
)
def test_controller_that_somebody_set_is_replaced(scope, present, wanted, clause):
    up = {"name": "d1br0", "admin_state": "up"}
    row = bridge_row(controller=["uuid", "c1"])
    controllers = table({"_uuid": ["uuid", "c1"], "target": present})
    host = FakeTransport(
        "host-a", [(ANY_READ, table(row) + table(up) + controllers), (ANY_WRITE, "")]
    )

    bridges.ensure_bridge(host, bridge(controller=wanted), testbed="demo", scope=scope)

    assert host.calls[1].argv[3:] == ("--", *clause)


@pytest.mark.parametrize("vlan", ["tag=5", "trunks=5,6", "vlan_mode=access"])
def test_port_that_somebody_put_into_a_vlan_leaves_it(scope, simulated, vlan):
    bridges.ensure_bridge(simulated, bridge(), testbed="demo", scope=scope)
    bridges.ensure_tunnel_end(simulated, *tunnel(), testbed="demo", scope=scope)
    simulated.run(command("ovs-vsctl", "--", "set", "Port", "d1t0", vlan), scope=scope)

    results = [
        bridges.ensure_tunnel_end(simulated, *tunnel(), testbed="demo", scope=scope)
        for _ in range(2)
    ]

    assert results == [True, False]


@pytest.mark.parametrize(("flags", "changed"), [(["UP"], False), ([], True)])
def test_bridge_is_up_when_the_kernel_says_so(scope, flags, changed):
    down = {"name": "d1br0", "admin_state": "down"}
    answer = table(bridge_row()) + table(down) + table()
    shown = json.dumps([{"ifname": "d1br0", "flags": flags}])
    host = FakeTransport(
        "host-a",
        [
            (ANY_READ, answer),
            ("ip -json link show", shown),
            (SILENT, ""),
            ("ethtool -K d1br0 tx off", ""),
            ("ip link set dev d1br0 up", ""),
        ],
    )

    made = bridges.ensure_bridge(host, bridge(), testbed="demo", scope=scope)

    assert made is changed


@pytest.mark.parametrize(
    ("owner", "words"),
    [("other", "belongs to testbed other"), ("", "was not made by a testbed")],
)
def test_foreign_bridge_is_refused_before_anything_is_written(owner, words, scope):
    host = FakeTransport("host-a", [(ANY_READ, table(bridge_row(owner)) + table() * 2)])

    with pytest.raises(ForeignThing, match=words):
        bridges.ensure_bridge(host, bridge(), testbed="demo", scope=scope)
    assert len(host.calls) == 1


def test_foreign_port_is_refused_before_anything_is_written(scope):
    port = {
        "_uuid": ["uuid", "p1"],
        "name": "d1t0",
        "external_ids": ["map", [["testbed", "other"]]],
    }
    answer = table(bridge_row()) + table(port) + table()
    host = FakeTransport("host-a", [(ANY_READ, answer)])
    state, end = tunnel()

    with pytest.raises(ForeignThing, match=r"port d1t0 .* belongs to testbed other"):
        bridges.ensure_tunnel_end(host, state, end, testbed="demo", scope=scope)
    assert len(host.calls) == 1


def test_port_needs_its_bridge(scope, simulated):
    with pytest.raises(NetworkFailed, match="needs bridge d1br0"):
        bridges.ensure_port(simulated, "d1br0", "veth", testbed="demo", scope=scope)


def test_tunnel_is_made_kept_and_corrected(scope, simulated):
    bridges.ensure_bridge(simulated, bridge(), testbed="demo", scope=scope)

    results = [
        bridges.ensure_tunnel_end(simulated, state, end, testbed="demo", scope=scope)
        for state, end in (tunnel(), tunnel(), tunnel("10.0.0.3"), tunnel("10.0.0.3"))
    ]

    assert results == [True, False, True, False]


def test_tunnel_options_are_written_whole(scope):
    host = FakeTransport(
        "host-a",
        [(ANY_READ, table(bridge_row()) + table() * 2), (ANY_WRITE, "")],
    )

    bridges.ensure_tunnel_end(host, *tunnel(), testbed="demo", scope=scope)

    assert host.calls[1].argv[3:] == (
        *("--", "add-port", "d1br0", "d1t0"),
        *("--", "set", "Port", "d1t0"),
        *("external_ids:testbed=demo", "external_ids:link=br0"),
        *("--", "set", "Interface", "d1t0", "type=vxlan"),
        'options={key="7",local_ip="10.0.0.1",remote_ip="10.0.0.2"}',
    )


def test_patch_ports_name_each_other(scope, simulated):
    for device in ("d1br0", "d1br1"):
        other = bridge().model_copy(update={"device": device})
        bridges.ensure_bridge(simulated, other, testbed="demo", scope=scope)
    patch = PatchState(
        name="br0-br1",
        host="host-a",
        device_a="d1br0",
        device_b="d1br1",
        port_a="pa",
        port_b="pb",
    )

    results = [
        bridges.ensure_patch(simulated, patch, testbed="demo", scope=scope)
        for _ in range(2)
    ]
    owned = bridges.tagged(simulated, scope=scope)

    assert results == [True, False]
    assert owned == {"demo": bridges.Tagged(("d1br0", "d1br1"), ("pa", "pb"))}


def test_bridges_with_rstp_are_joined_by_two_ends_of_a_device(scope, simulated):
    for device in ("d1br0", "d1br1"):
        other = bridge().model_copy(update={"device": device, "rstp": True})
        bridges.ensure_bridge(simulated, other, testbed="demo", scope=scope)
    patch = PatchState(
        name="br0-br1",
        host="host-a",
        device_a="d1br0",
        device_b="d1br1",
        port_a="wa",
        port_b="wb",
        is_veth=True,
    )

    results = [
        bridges.ensure_patch(simulated, patch, testbed="demo", scope=scope)
        for _ in range(2)
    ]
    links = simulated.run(
        command("ip", "-json", "link", "show", "type", "veth"), scope=scope
    )

    assert results == [True, False]
    assert {link["ifname"] for link in json.loads(links.stdout)} == {"wa", "wb"}
    owned = bridges.tagged(simulated, scope=scope)
    assert owned == {"demo": bridges.Tagged(("d1br0", "d1br1"), ("wa", "wb"))}


def test_device_that_the_switch_cannot_open_is_an_error_despite_exit_0(scope):
    said = "ovs-vsctl: Error detected while setting up 'veth': could not open it"
    host = FakeTransport(
        "host-a",
        [
            ("ip -json link show", "[]"),
            (ANY_READ, table(bridge_row()) + table() * 2),
            (ANY_WRITE, Reply(stderr=said)),
        ],
    )

    with pytest.raises(NetworkFailed, match="Port veth") as failed:
        bridges.ensure_port(host, "d1br0", "veth", testbed="demo", scope=scope)
    assert "could not open it" in failed.value.detail


def test_deleting_twice_changes_something_once(scope, simulated):
    bridges.ensure_bridge(simulated, bridge(), testbed="demo", scope=scope)

    with pytest.raises(ForeignThing, match="belongs to testbed demo"):
        bridges.delete_bridge(simulated, "d1br0", testbed="other", scope=scope)
    results = [
        bridges.delete_bridge(simulated, "d1br0", testbed="demo", scope=scope)
        for _ in range(2)
    ]

    assert results == [True, False]
    assert not bridges.delete_port(simulated, "nothing", testbed="demo", scope=scope)


@pytest.mark.parametrize(("code", "usable"), [(0, True), (1, False)])
def test_check_tells_version_and_kernel_datapath(code, usable, scope):
    host = FakeTransport(
        "host-a",
        [
            ("ovs-appctl -T 20 version", "ovs-vswitchd (Open vSwitch) 3.1.0\n"),
            ("ovs-vsctl --timeout=20 get Open_vSwitch . _uuid", ""),
            ("ovs-dpctl dump-dps", code),
        ],
    )

    facts = bridges.check(host, scope=scope)

    assert facts == bridges.OvsFacts("3.1.0", datapath_ok_kernel=usable)


@pytest.mark.parametrize("dead", ["ovs-appctl -T 20 version", "ovs-vsctl .*"])
def test_check_names_the_host_that_does_not_answer(dead, scope):
    host = FakeTransport(
        "host-a", [(re.compile(dead), 1), (re.compile(".*"), "some 3.1.0")]
    )

    with pytest.raises(HostUnreachable, match=r"Open vSwitch .* on host-a") as failed:
        bridges.check(host, scope=scope)
    assert "openvswitch" in failed.value.hint
