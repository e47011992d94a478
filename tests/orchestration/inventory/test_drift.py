"""Missing parts of a deployed network, in the words of the testbed's page."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.inventory.drift import missing_parts
from orchestration.inventory.things import Inventory, observe
from orchestration.providers.linux.ip_link import Link
from orchestration.providers.linux.ruleset import (
    Policy,
    Ruleset,
    build_ruleset,
    policy_of,
)
from orchestration.state.model import HostKind, Markers, State
from orchestration.transport.base import Scope, command
from tests.orchestration.instructions.rehearsal import Rehearsal, with_card
from tests.orchestration.state.samples import machine, spec_of

HOSTS = ("host-a", "host-b")


@pytest.fixture(name="up")
def _up(tmp_path: Path) -> Iterator[Rehearsal]:
    """`a` on main, `b` on host-b, bridges br0 and br1; br2 joined on one host."""
    spec = spec_of(
        machine("a", "br0"),
        machine("b", "br1"),
        machine("c", "br2"),
        bridges=("br0", "br1", "br2"),
        joined={"br0": "br1", "br2": "br0"},
    )
    rehearsal = Rehearsal(tmp_path, spec)
    rehearsal.up()
    yield rehearsal
    rehearsal.hosts.close()


def ring(folder: Path) -> Rehearsal:
    """A loop of bridges on one host, whose links are pairs of devices."""
    bridges = ("br0", "br1", "br2")
    joined = {"br0": "br1", "br1": "br2", "br2": "br0"}
    spec = spec_of(machine("a", "br0"), bridges=bridges, joined=joined)
    return Rehearsal(folder, spec)


def seen(rehearsal: Rehearsal) -> dict[str, Inventory]:
    hosts = [rehearsal.hosts.open(rehearsal.state.host(name)) for name in HOSTS]
    return {host.state.name: observe(host, scope=Scope()) for host in hosts}


def missing(rehearsal: Rehearsal) -> list[str]:
    return [part.text for part in missing_parts(rehearsal.state, seen(rehearsal))]


def on(rehearsal: Rehearsal, host: str, words: str) -> None:
    opened = rehearsal.hosts.open(rehearsal.state.host(host))
    opened.transport.run(command(*words.split()), scope=Scope())


def test_nothing_is_missing_of_what_up_made(up: Rehearsal) -> None:
    assert missing(up) == []


def firewalls(up: Rehearsal, ruleset: Ruleset) -> list[str]:
    wanted = {"host-a": ruleset.digest}
    parts = missing_parts(up.state, seen(up), wanted)
    assert {(p.kind, p.name, p.host) for p in parts} <= {("firewall", *["host-a"] * 2)}
    return [part.text for part in parts]


def test_firewall_that_is_gone_or_another_is_named(up: Rehearsal) -> None:
    ruleset = build_ruleset(policy_of(up.state.hosts))
    newer = build_ruleset(Policy(hosts=frozenset({"192.0.2.99"})))

    assert firewalls(up, ruleset) == []
    assert firewalls(up, newer) == ["firewall of host-a follows older settings"]
    on(up, "host-a", "nft add chain inet testbed of_another_program")
    assert firewalls(up, ruleset) == [
        "firewall of host-a was changed by another program"
    ]
    on(up, "host-a", "nft delete table inet testbed")
    assert firewalls(up, ruleset) == ["firewall of host-a is gone"]


def test_firewall_of_a_management_network_that_is_gone_is_named(
    up: Rehearsal,
) -> None:
    ruleset = build_ruleset(policy_of(up.state.hosts))
    on(up, "host-b", "nft delete table bridge testbed_t7")

    parts = missing_parts(up.state, seen(up), dict.fromkeys(HOSTS, ruleset.digest))

    assert [p.text for p in parts] == ["firewall t7-mgmt is gone on host-b"]


def test_firewall_of_a_management_network_that_was_changed_is_named(
    up: Rehearsal,
) -> None:
    digests = dict.fromkeys(HOSTS, build_ruleset(policy_of(up.state.hosts)).digest)
    on(up, "host-b", "nft add chain bridge testbed_t7 of_another_program")

    parts = missing_parts(up.state, seen(up), digests)

    words = "firewall t7-mgmt was changed by another program on host-b"
    assert [part.text for part in parts] == [words]
    up.up()
    assert missing_parts(up.state, seen(up), digests) == ()


def test_bridge_that_is_gone_is_named_and_not_what_hung_from_it(up: Rehearsal) -> None:
    on(up, "host-b", "ovs-vsctl -- del-br t7-br1")

    assert missing(up)[:1] == ["bridge br1 is gone on host-b"]
    assert not [text for text in missing(up) if "tunnel" in text and "host-b" in text]


def test_patch_and_tunnel_are_named_where_an_end_is_gone(up: Rehearsal) -> None:
    (patch,) = up.state.network.patches
    (tunnel,) = up.state.network.tunnels
    end = tunnel.ends[1]
    on(up, patch.host, f"ovs-vsctl -- del-port {patch.port_b}")
    on(up, end.host, f"ovs-vsctl -- del-port {end.port}")

    assert missing(up) == [
        f"link {patch.name} is gone on {patch.host}",
        f"tunnel {tunnel.name} is gone on {end.host}",
    ]


def test_card_that_was_pulled_off_its_bridge_is_named(tmp_path: Path) -> None:
    rehearsal = Rehearsal(tmp_path, with_card("br0"))
    rehearsal.up()
    assert missing(rehearsal) == []

    on(rehearsal, "host-a", "ovs-vsctl -- del-port eth1")

    assert missing(rehearsal) == ["card eth1 is not on its bridge on host-a"]
    rehearsal.hosts.close()


def test_networks_are_named_when_stopped_and_when_undefined(up: Rehearsal) -> None:
    conn = up.hosts.open(up.state.main).libvirt
    conn.call("x", lambda h: h.networkLookupByName("t7-nat").destroy(), changes=True)

    def forget(handle):
        network = handle.networkLookupByName("t7-mgmt")
        network.destroy()
        network.undefine()

    conn.call("x", forget, changes=True)

    assert missing(up) == [
        "network t7-nat is not active on host-a",
        "network t7-mgmt is gone on host-a",
    ]


@pytest.mark.parametrize("name", ["nat", "mgmt"])
def test_network_is_named_when_its_device_is_down(up: Rehearsal, name: str) -> None:
    on(up, "host-a", f"ip link set dev t7{name} down")
    assert missing(up) == [f"network t7-{name} is down on host-a"]

    up.up()

    assert missing(up) == []


def test_link_that_is_a_pair_of_devices_is_named_when_these_are_gone(
    tmp_path: Path,
) -> None:
    rehearsal = ring(tmp_path)
    rehearsal.up()
    veths = [patch for patch in rehearsal.state.network.patches if patch.is_veth]
    assert veths
    assert missing(rehearsal) == []

    on(rehearsal, veths[0].host, f"ip link delete dev {veths[0].port_b}")

    assert missing(rehearsal) == [f"link {veths[0].name} is gone on {veths[0].host}"]
    rehearsal.hosts.close()


@pytest.mark.parametrize(
    "words", ["ip link delete dev t7vn", "ovs-vsctl -- del-port t7vb"]
)
def test_way_out_is_cut_when_either_of_its_halves_is_gone(
    up: Rehearsal, words: str
) -> None:
    on(up, "host-a", words)

    assert missing(up) == ["uplink through t7-nat is cut on host-a"]


def test_uplink_is_cut_when_it_is_gone_and_its_network_is_stopped(
    up: Rehearsal,
) -> None:
    conn = up.hosts.open(up.state.main).libvirt
    conn.call("x", lambda h: h.networkLookupByName("t7-nat").destroy(), changes=True)
    on(up, "host-a", "ip link delete dev t7vn")

    assert missing(up) == [
        "network t7-nat is not active on host-a",
        "uplink through t7-nat is cut on host-a",
    ]


def test_way_out_is_cut_when_its_device_is_another_one(up: Rehearsal) -> None:
    (end,) = [v for v in up.memory("host-a")["links"] if v == "t7vb"]
    before = up.memory("host-a")["ports"][end]["external_ids"]["ifindex"]
    remake_veth(up)
    assert missing(up) == ["uplink through t7-nat is cut on host-a"]

    up.up()

    assert missing(up) == []
    after = up.memory("host-a")["ports"][end]["external_ids"]["ifindex"]
    assert after != before
    removed = [line for line in up.asked("host-a") if "del-port t7vb" in line]
    assert removed
    assert all("add-port" not in line for line in removed)


@pytest.mark.parametrize("end", ["t7vn", "t7vb"])
def test_uplink_is_cut_when_either_of_its_ends_is_down(up: Rehearsal, end: str) -> None:
    on(up, "host-a", f"ip link set dev {end} down")
    assert missing(up) == ["uplink through t7-nat is cut on host-a"]

    up.up()

    assert missing(up) == []


def remake_veth(up: Rehearsal) -> None:
    """Make the uplink's devices again, as if nothing had happened."""
    for words in (
        "delete dev t7vn",
        "add t7vn type veth peer name t7vb",
        "set dev t7vn master t7nat",
        "set dev t7vn up",
        "set dev t7vb up",
    ):
        on(up, "host-a", f"ip link {words}")


def test_port_that_does_not_say_its_device_is_left_in_place(up: Rehearsal) -> None:
    """Ports of older versions: nothing is known of them, and `up` writes it down."""
    memory = up.machines / "host-a.json"
    found = json.loads(memory.read_text())
    del found["ports"]["t7vb"]["external_ids"]["ifindex"]
    memory.write_text(json.dumps(found))
    assert missing(up) == []

    up.up()

    assert up.memory("host-a")["ports"]["t7vb"]["external_ids"]["ifindex"]
    assert not [line for line in up.asked("host-a") if "del-port t7vb" in line]


def test_pair_of_devices_between_bridges_is_cut_when_it_is_another_one(
    tmp_path: Path,
) -> None:
    rehearsal = ring(tmp_path)
    rehearsal.up()
    patch = next(p for p in rehearsal.state.network.patches if p.is_veth)
    on(rehearsal, patch.host, f"ip link delete dev {patch.port_a}")
    again = f"{patch.port_a} type veth peer name {patch.port_b}"
    on(rehearsal, patch.host, f"ip link add {again}")
    assert missing(rehearsal) == [f"link {patch.name} is cut on {patch.host}"]

    rehearsal.up()

    assert missing(rehearsal) == []
    rehearsal.hosts.close()


def test_port_that_the_switch_cannot_use_is_named(up: Rehearsal) -> None:
    shown = seen(up)
    main = shown["host-a"]
    dead = replace(main.ports["t7vb"], error="could not open network device t7vb")
    shown["host-a"] = replace(main, ports={**main.ports, "t7vb": dead})

    texts = [part.text for part in missing_parts(up.state, shown)]

    assert texts == ["uplink through t7-nat is cut on host-a"]


def test_host_that_did_not_answer_says_nothing(up: Rehearsal) -> None:
    on(up, "host-b", "ovs-vsctl -- del-br t7-br1")

    shown = seen(up)
    del shown["host-b"]

    assert missing_parts(up.state, shown) == ()


def test_everything_is_made_again_by_up_and_then_nothing_is_missing(
    up: Rehearsal,
) -> None:
    on(up, "host-b", "ovs-vsctl -- del-br t7-br1")
    on(up, "host-a", "ip link delete dev t7vn")

    up.up()

    assert missing(up) == []


def real(state: State) -> State:
    """The same state as if its hosts were machines, whose guests have taps."""
    hosts = (h.model_copy(update={"kind": HostKind.REAL}) for h in state.hosts)
    return state.model_copy(update={"hosts": tuple(hosts)})


def test_interface_of_a_running_guest_is_named_when_it_is_not_on_its_bridge(
    up: Rehearsal,
) -> None:
    guest = up.state.guest("a")
    tap = guest.interfaces[0].tap
    shown = seen(up)
    main = shown["host-a"]
    plugged = {tap: "t7-br0", guest.management.tap: "t7mgmt"}
    right = Inventory(main.things, main.domains, plugged)
    loose = Inventory(main.things, main.domains, {tap: "", guest.management.tap: ""})

    assert missing_parts(real(up.state), {"host-a": right}) == ()
    texts = [p.text for p in missing_parts(real(up.state), {"host-a": loose})]
    assert texts == [
        "interface eth0 of guest a is not on its bridge on host-a",
        "interface mgmt0 of guest a is not on its bridge on host-a",
    ]


def test_disks_and_seeds_that_are_missing_are_named(up: Rehearsal) -> None:
    kept = {"a-disk.qcow2", "b-seed.iso", "c-disk.qcow2", "c-seed.iso"}
    files = frozenset(("demo", name) for name in kept)
    whole = files | {("demo", "a-seed.iso"), ("demo", "b-disk.qcow2")}
    state = real(up.state)
    shown = {host: replace(found, plugs={}) for host, found in seen(up).items()}

    def texts(files: frozenset[tuple[str, str]] | None) -> list[str]:
        here = {host: replace(found, files=files) for host, found in shown.items()}
        return [part.text for part in missing_parts(state, here)]

    host = {guest.name: guest.host for guest in state.guests}
    assert texts(None) == []
    assert texts(whole) == []
    assert texts(files) == [
        f"seed of a is missing on {host['a']}",
        f"disk of b is missing on {host['b']}",
    ]


def test_disk_that_was_never_made_is_not_missing(up: Rehearsal) -> None:
    state = real(up.state)
    never = tuple(g.model_copy(update={"markers": Markers()}) for g in state.guests)
    state = state.model_copy(update={"guests": never})
    shown = {h: replace(i, plugs={}, files=frozenset()) for h, i in seen(up).items()}

    assert missing_parts(state, shown) == ()


def test_network_without_its_dnsmasq_is_named(up: Rehearsal) -> None:
    shown = seen(up)

    def texts(served: frozenset[str] | None) -> list[str]:
        here = {host: replace(found, served=served) for host, found in shown.items()}
        return [part.text for part in missing_parts(up.state, here)]

    assert texts(None) == []
    assert texts(frozenset({"t7-nat"})) == []
    gives = "network t7-nat gives no addresses and names on host-a"
    assert texts(frozenset({"other-nat"})) == [gives]


def test_interface_of_a_running_guest_is_named_when_it_is_down(up: Rehearsal) -> None:
    shown = {host: replace(found, files=None) for host, found in seen(up).items()}
    guest = up.state.guest("a")
    taps = (guest.interfaces[0].tap, guest.management.tap)
    down = {tap: Link(tap, up=False, master="", peer="") for tap in taps}
    shown["host-a"] = replace(shown["host-a"], plugs={}, links=down)

    texts = [part.text for part in missing_parts(real(up.state), shown)]

    assert texts == [
        "interface eth0 of guest a is down on host-a",
        "interface mgmt0 of guest a is down on host-a",
    ]


def test_tunnel_with_another_key_is_named_and_repaired(up: Rehearsal) -> None:
    (tunnel,) = up.state.network.tunnels
    end = next(end for end in tunnel.ends if end.host == "host-b")
    port = f"Interface {end.port}"
    on(up, "host-b", f"ovs-vsctl -- set {port} options={{key=5,remote_ip=192.0.2.1}}")
    assert missing(up) == [f"tunnel {tunnel.name} has other settings on host-b"]

    up.up()

    assert missing(up) == []


@pytest.mark.parametrize(
    "change",
    [
        "set Bridge t7-br1 fail_mode=secure",
        "set Bridge t7-br1 stp_enable=true",
        "set Bridge t7-br1 other_config:mac-aging-time=1",
        "set Bridge t7-br1 protocols=OpenFlow13",
        "set-controller t7-br1 tcp:192.0.2.9:6653",
    ],
)
def test_bridge_with_other_settings_is_named_and_repaired(
    up: Rehearsal, change: str
) -> None:
    on(up, "host-b", f"ovs-vsctl -- {change}")
    assert missing(up) == ["bridge br1 has other settings on host-b"]

    up.up()

    assert missing(up) == []


def test_bridge_with_other_flows_is_named_unless_a_controller_owns_them(
    up: Rehearsal,
) -> None:
    shown = {h: replace(i, reflowed=frozenset({"t7-br1"})) for h, i in seen(up).items()}
    told = "tcp:192.0.2.9:6653"

    def texts(controller: str | None) -> list[str]:
        bridges = [
            b.model_copy(update={"controller": controller}) if b.name == "br1" else b
            for b in up.state.network.bridges
        ]
        network = up.state.network.model_copy(update={"bridges": tuple(bridges)})
        state = up.state.model_copy(update={"network": network})
        return [part.text for part in missing_parts(state, shown)]

    assert texts(None) == ["bridge br1 has other flows on host-b"]
    assert texts(told) == ["bridge br1 has other settings on host-b"]


def test_link_in_a_vlan_is_named_and_repaired(up: Rehearsal) -> None:
    link = next(link for link in up.state.network.links if link.kind == "link")
    on(up, link.host, f"ovs-vsctl -- set Port {link.ports[0][1]} tag=5")
    assert missing(up) == [f"link {link.name} has other settings on {link.host}"]

    up.up()

    assert missing(up) == []


def test_interface_of_a_running_guest_is_named_when_it_is_in_a_vlan(
    up: Rehearsal,
) -> None:
    tap = up.state.guest("a").interfaces[0].tap
    on(up, "host-a", f"ovs-vsctl -- add-port t7-br0 {tap}")
    on(up, "host-a", f"ovs-vsctl -- set Port {tap} tag=5")
    shown = {host: replace(found, files=None) for host, found in seen(up).items()}

    texts = [part.text for part in missing_parts(real(up.state), shown)]

    assert texts == ["interface eth0 of guest a is in a VLAN on host-a"]


@pytest.mark.parametrize("name", ["eth7", "vnet3", "t70g0i0"])
def test_foreign_port_is_named_with_its_removal_and_left(
    up: Rehearsal, name: str
) -> None:
    on(up, "host-b", f"ovs-vsctl -- add-port t7-br1 {name}")
    words = (
        f"bridge br1 on host-b has the foreign port {name}, which Up leaves: "
        f"ovs-vsctl del-port {name}"
    )
    assert missing(up) == [words]

    up.up()

    assert missing(up) == [words]


def test_ports_of_guests_and_of_other_bridges_are_not_foreign(up: Rehearsal) -> None:
    on(up, "host-b", "ovs-vsctl -- add-port t7-br1 t7g1i0")
    on(up, "host-b", "ovs-vsctl -- add-br other -- add-port other eth7")

    assert missing(up) == []
