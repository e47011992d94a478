"""The Open vSwitch provider against real daemons, on two hosts made of namespaces.

What each verb makes, corrects and leaves alone, and that a tunnel carries packets of
full size. The two hosts are made in ovs_host.py and shared by all tests here.
"""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from orchestration.errors import ForeignThing, HostUnreachable, NetworkFailed
from orchestration.providers.linux import ip_link
from orchestration.providers.ovs import bridges, flows
from orchestration.state.model import (
    BridgeState,
    Datapath,
    PatchState,
    TunnelEnd,
    TunnelState,
)
from orchestration.transport.base import Scope, command
from tests.live.namespace_host import debian_13
from tests.live.ovs_host import Host
from tests.waiting import wait_until

needs = [tool for tool in ("ovs-vsctl", "unshare", "nsenter") if not shutil.which(tool)]
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(bool(needs), reason=f"not installed: {', '.join(needs)}"),
]


@pytest.fixture(scope="module", params=["this machine", "Debian 13"])
def hosts(tmp_path_factory, request):
    """Two hosts; the first, on which most is tried, has Debian 13's programs or ours."""
    folder = tmp_path_factory.mktemp("ovs")
    root = debian_13() if request.param == "Debian 13" else None
    if request.param == "Debian 13" and root is None:
        pytest.skip("the root of Debian 13 is not built: script/lab/debian-root")
    pair = [Host("host-a", folder, root), Host("host-b", folder)]
    try:
        for host in pair:
            host.wait_until_ready()
        yield pair
    finally:
        for host in pair:
            host.stop()


@pytest.fixture(scope="module")
def wire(hosts):
    """The cable between the hosts, with the underlay address on a bridge."""
    a, b = (str(host.holder.pid) for host in hosts)
    words = f"ip link add wire netns {a} mtu 9000 type veth peer name wire netns {b}"
    subprocess.run(words.split(), check=True)
    for number, host in enumerate(hosts, 1):
        host.say("ip link set wire mtu 9000 up")
        host.say("ethtool -K wire tx off")
        host.say(
            "ovs-vsctl add-br phy -- set bridge phy datapath_type=netdev "
            "-- add-port phy wire"
        )
        host.say("ethtool -K phy tx off")
        host.say(f"ip address add 172.31.0.{number}/24 dev phy")
        host.say("ip link set phy up")


@pytest.fixture
def host(hosts):
    return hosts[0]


@pytest.fixture
def scope():
    return Scope("test")


def bridge(name, device, **changes):
    values = {"name": name, "host": "host-a", "device": device}
    return BridgeState(datapath=Datapath.NETDEV, **values, **changes)


def tunnel(device, remote, *, key=77, number=1, kind="vxlan"):
    mine, other = f"172.31.0.{number}", remote
    end = TunnelEnd(
        host="x",
        device=device,
        port="tun0",
        local_address=mine,
        remote_address=other,
    )
    return TunnelState(name="br0-br0", kind=kind, key=key, ends=(end, end)), end


def test_bridge_is_made_once_then_unchanged_then_corrected(host, scope):
    wanted = bridge("br0", "t1br0", protocol="OpenFlow13", rstp=True)
    wanted = wanted.model_copy(update={"controller": "tcp:198.51.100.5:6653"})

    made = bridges.ensure_bridge(host, wanted, testbed="one", scope=scope)
    again = bridges.ensure_bridge(host, wanted, testbed="one", scope=scope)
    plain = bridge("br0", "t1br0")
    corrected = bridges.ensure_bridge(host, plain, testbed="one", scope=scope)
    settled = bridges.ensure_bridge(host, plain, testbed="one", scope=scope)

    assert [made, again, corrected, settled] == [True, False, True, False]
    assert host.say("ovs-vsctl get-controller t1br0") == ""
    assert host.say("ovs-vsctl get bridge t1br0 protocols").strip() == "[]"
    assert "UP" in host.say("ip link show t1br0")
    offload = host.say("ethtool -k t1br0").splitlines()
    assert "tx-checksumming: off" in offload


def test_bridge_that_went_down_is_brought_up(host, scope):
    wanted = bridge("br0", "t1down")
    bridges.ensure_bridge(host, wanted, testbed="one", scope=scope)
    host.say("ip link set t1down down")

    assert bridges.ensure_bridge(host, wanted, testbed="one", scope=scope)
    assert not bridges.ensure_bridge(host, wanted, testbed="one", scope=scope)


def test_settings_that_somebody_changed_are_set_back(host, scope):
    wanted = bridge("br0", "t1set")
    bridges.ensure_bridge(host, wanted, testbed="one", scope=scope)
    host.say(
        "ovs-vsctl set bridge t1set fail_mode=secure stp_enable=true "
        "other_config:mac-aging-time=15 -- set-controller t1set tcp:198.51.100.5:6653"
    )

    assert bridges.ensure_bridge(host, wanted, testbed="one", scope=scope)
    assert not bridges.ensure_bridge(host, wanted, testbed="one", scope=scope)

    found = host.say("ovs-vsctl get bridge t1set fail_mode stp_enable other_config")
    assert found.split() == ["[]", "false", "{}"]
    assert host.say("ovs-vsctl get-controller t1set") == ""
    assert flows.altered(host, ["t1set"], scope=scope) == frozenset()


def test_port_in_a_vlan_leaves_it(host, scope):
    host.say("ip link add vlan0 type veth peer name vlan1")
    bridges.ensure_bridge(host, bridge("br0", "t1vlan"), testbed="one", scope=scope)
    bridges.ensure_port(host, "t1vlan", "vlan0", testbed="one", scope=scope)
    host.say("ovs-vsctl set port vlan0 tag=5 vlan_mode=access")

    mended = bridges.ensure_port(host, "t1vlan", "vlan0", testbed="one", scope=scope)
    again = bridges.ensure_port(host, "t1vlan", "vlan0", testbed="one", scope=scope)

    assert (mended, again) == (True, False)
    assert host.say("ovs-vsctl get port vlan0 tag vlan_mode").split() == ["[]", "[]"]


@pytest.mark.parametrize("protocol", [None, "OpenFlow15"])
@pytest.mark.parametrize(
    "change",
    ["del-flows", "add-flow priority=9,actions=drop", "add-flow table=3,actions=drop"],
)
def test_flows_that_somebody_changed_are_seen_and_set_back(
    host, scope, protocol, change
):
    wanted = bridge("br0", "t1flow", protocol=protocol)
    bridges.ensure_bridge(host, wanted, testbed="one", scope=scope)
    bridges.ensure_bridge(host, bridge("br1", "t1calm"), testbed="one", scope=scope)
    verb, _, flow = change.partition(" ")
    before = flows.altered(host, ["t1flow", "t1calm", "t1gone"], scope=scope)

    host.say(f"ovs-ofctl -O {protocol or 'OpenFlow10'} {verb} t1flow {flow}")
    changed = flows.altered(host, ["t1flow", "t1calm"], scope=scope)
    flows.reset(host, "t1flow", scope=scope)

    assert (before, changed) == (frozenset(), frozenset({"t1flow"}))
    assert flows.altered(host, ["t1flow"], scope=scope) == frozenset()
    bridges.delete_bridge(host, "t1flow", testbed="one", scope=scope)


def test_things_of_others_are_left_alone(host, scope):
    theirs = bridge("br0", "t2br0")
    bridges.ensure_bridge(host, theirs, testbed="two", scope=scope)
    host.say("ip link add vother type veth peer name vother2")
    bridges.ensure_port(host, "t2br0", "vother", testbed="two", scope=scope)
    host.say("ovs-vsctl add-br untagged -- set bridge untagged datapath_type=netdev")

    with pytest.raises(ForeignThing, match="belongs to testbed two"):
        bridges.ensure_bridge(host, theirs, testbed="one", scope=scope)
    with pytest.raises(ForeignThing, match="belongs to testbed two"):
        bridges.delete_bridge(host, "t2br0", testbed="one", scope=scope)
    with pytest.raises(ForeignThing, match="belongs to testbed two"):
        bridges.delete_port(host, "vother", testbed="one", scope=scope)
    with pytest.raises(ForeignThing, match="was not made by a testbed"):
        bridges.delete_bridge(host, "untagged", testbed="one", scope=scope)
    assert bridges.tagged(host, scope=scope)["two"] == bridges.Tagged(
        ("t2br0",), ("vother",)
    )


def test_patch_joins_two_bridges_and_is_mended(host, scope):
    for name in ("t3a", "t3b"):
        bridges.ensure_bridge(host, bridge(name, name), testbed="three", scope=scope)
    patch = PatchState(
        name="t3a-t3b",
        host="host-a",
        device_a="t3a",
        device_b="t3b",
        port_a="t3pa",
        port_b="t3pb",
    )

    made = bridges.ensure_patch(host, patch, testbed="three", scope=scope)
    again = bridges.ensure_patch(host, patch, testbed="three", scope=scope)
    host.say("ovs-vsctl del-port t3pb")
    mended = bridges.ensure_patch(host, patch, testbed="three", scope=scope)
    host.say("ovs-vsctl del-port t3pb -- add-port t3a t3pb")
    host.say("ovs-vsctl set port t3pb external_ids:testbed=three")
    moved = bridges.ensure_patch(host, patch, testbed="three", scope=scope)
    settled = bridges.ensure_patch(host, patch, testbed="three", scope=scope)

    assert [made, again, mended, moved, settled] == [True, False, True, True, False]
    assert host.say("ovs-vsctl port-to-br t3pb").strip() == "t3b"


def test_stale_tunnel_options_are_corrected(host, scope):
    bridges.ensure_bridge(host, bridge("br0", "t4br0"), testbed="four", scope=scope)
    old, new = (
        tunnel("t4br0", "172.31.0.9", key=4),
        tunnel("t4br0", "172.31.0.8", key=5),
    )

    results = [
        bridges.ensure_tunnel_end(host, state, end, testbed="four", scope=scope)
        for state, end in (old, old, new, new)
    ]

    assert results == [True, False, True, False]
    options = host.say("ovs-vsctl get interface tun0 options").strip()
    assert options == '{key="5", local_ip="172.31.0.1", remote_ip="172.31.0.8"}'
    assert bridges.delete_bridge(host, "t4br0", testbed="four", scope=scope)
    assert not bridges.delete_bridge(host, "t4br0", testbed="four", scope=scope)


def test_tunnel_of_another_kind_takes_its_place(host, scope):
    bridges.ensure_bridge(host, bridge("br0", "t8br0"), testbed="eight", scope=scope)

    for kind in ("vxlan", "geneve", "gre"):
        state, end = tunnel("t8br0", "172.31.0.7", kind=kind)
        made = bridges.ensure_tunnel_end(host, state, end, testbed="eight", scope=scope)
        again = bridges.ensure_tunnel_end(
            host, state, end, testbed="eight", scope=scope
        )
        row = host.say("ovs-vsctl get interface tun0 type error").split()

        assert [made, again] == [True, False]
        assert row == [kind, "[]"]
    assert bridges.delete_bridge(host, "t8br0", testbed="eight", scope=scope)


def test_port_without_a_device_fails_and_is_healed_later(host, scope):
    bridges.ensure_bridge(host, bridge("br0", "t5br0"), testbed="five", scope=scope)

    with pytest.raises(NetworkFailed) as failed:
        bridges.ensure_port(host, "t5br0", "t5ve", testbed="five", scope=scope)
    host.say("ip link add t5master type bridge")
    ip_link.ensure_veth(host, "t5vn", "t5ve", master_of_a="t5master", scope=scope)
    bridges.ensure_port(host, "t5br0", "t5ve", testbed="five", scope=scope)

    assert "No such device" in failed.value.detail
    assert not bridges.ensure_port(host, "t5br0", "t5ve", testbed="five", scope=scope)
    assert bridges.delete_port(host, "t5ve", testbed="five", scope=scope)
    assert not bridges.delete_port(host, "t5ve", testbed="five", scope=scope)


def test_port_of_a_veth_that_was_made_again_carries_packets_again(host, scope):
    bridges.ensure_bridge(host, bridge("br0", "t9br0"), testbed="nine", scope=scope)
    host.say("ip address add 10.98.0.2/24 dev t9br0")
    host.say("ip netns add far")

    def join():
        made = ip_link.ensure_veth(host, "t9vn", "t9vb", scope=scope)
        host.say("ip link set t9vn netns far")
        host.say("ip netns exec far ip address add 10.98.0.1/24 dev t9vn")
        host.say("ip netns exec far ip link set t9vn up")
        return made

    def plug():
        return bridges.ensure_port(host, "t9br0", "t9vb", testbed="nine", scope=scope)

    def is_joined():
        asked = command("ping", "-c1", "-W1", "10.98.0.1")
        return host.run(asked, scope=scope, check=False).exit_code == 0

    join()
    assert plug()
    wait_until(is_joined, "the first veth carries nothing")
    assert not plug()
    host.say("ip link delete t9vb")
    join()
    asked = command("ping", "-c3", "-W1", "10.98.0.1")
    assert host.run(asked, scope=scope, check=False).exit_code != 0

    assert plug()

    wait_until(is_joined, "the second veth carries nothing")
    assert not plug()
    assert bridges.delete_bridge(host, "t9br0", testbed="nine", scope=scope)


def test_veth_is_made_once_repaired_and_deleted(host, scope):
    host.say("ip link add t6master type bridge")
    make = {"master_of_a": "t6master", "scope": scope}

    made = ip_link.ensure_veth(host, "t6a", "t6b", **make)
    again = ip_link.ensure_veth(host, "t6a", "t6b", **make)
    host.say("ip link set t6a nomaster")
    repaired = ip_link.ensure_veth(host, "t6a", "t6b", **make)
    host.say("ip address add 10.99.0.1/24 dev t6master")

    assert [made, again, repaired] == [True, False, True]
    assert "tx-checksumming: off" in host.say("ethtool -k t6b")
    assert ip_link.addresses(host, scope=scope)["t6master"][0] == "10.99.0.1/24"
    with pytest.raises(NetworkFailed, match="t6c to t6d"):
        ip_link.ensure_veth(host, "t6c", "t6d", master_of_a="none", scope=scope)
    assert ip_link.delete_link(host, "t6a", scope=scope)
    assert not ip_link.delete_link(host, "t6b", scope=scope)


@pytest.mark.usefixtures("wire")
def test_tunnel_carries_full_size_tcp(hosts, scope):
    for number, host in enumerate(hosts, 1):
        bridges.ensure_bridge(
            host, bridge("lan", "t7lan"), testbed="seven", scope=scope
        )
        state, end = tunnel("t7lan", f"172.31.0.{3 - number}", number=number)
        bridges.ensure_tunnel_end(host, state, end, testbed="seven", scope=scope)
        host.say(f"ip address add 10.7.0.{number}/24 dev t7lan")

    received = transfer(*hosts, address="10.7.0.2", size_bytes=2_000_000)

    assert received == 2_000_000


def transfer(sender, receiver, *, address, size_bytes):
    """Send bytes over TCP between two namespaces; return how many arrived."""
    listen = (
        "import socket; s = socket.create_server(('', 5007)); s.settimeout(120);"
        "print('up', flush=True); c = s.accept()[0]; c.settimeout(120); n = 0\n"
        "while d := c.recv(65536): n += len(d)\n"
        "print(n)"
    )
    send = (
        f"import socket; c = socket.create_connection(('{address}', 5007), 120);"
        f"c.sendall(bytes({size_bytes})); c.close()"
    )
    enter = ["nsenter", "-t", str(receiver.holder.pid), "-m", "-n"]
    with subprocess.Popen(
        [*enter, "python3", "-c", listen], stdout=subprocess.PIPE, text=True
    ) as server:
        assert server.stdout.readline().strip() == "up"
        sender.run(command("python3", "-c", send), scope=Scope())
        return int(server.stdout.read())


def test_check_tells_the_version_and_a_dead_daemon(hosts, scope):
    dying = hosts[1]
    facts = bridges.check(dying, scope=scope)
    has_module = Path("/sys/module/openvswitch").exists()

    assert facts.version[0].isdigit()
    assert facts.datapath_ok_kernel is has_module
    dying.stop_daemon("ovs-vswitchd")
    with pytest.raises(HostUnreachable, match="does not answer on host-b"):
        bridges.check(dying, scope=scope)


def test_network_card_with_an_address_of_the_host_is_refused(host, scope):
    host.say("ip link add nic9 type veth peer name nic9far")
    host.say("ip link set nic9 up")
    ip_link.require_unused(host, "nic9", scope=scope)
    host.say("ip address add 192.0.2.9/24 dev nic9")

    with pytest.raises(NetworkFailed, match=r"nic9 of host-a has the address 192\.0"):
        ip_link.require_unused(host, "nic9", scope=scope)
    host.say("ip link delete nic9")
