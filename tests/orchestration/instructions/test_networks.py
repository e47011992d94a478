"""Networks, bridges and links: made once, mended, and removed to the last port."""

import re
from dataclasses import replace

import pytest

from orchestration.errors import NetworkFailed
from orchestration.events import Status
from orchestration.hosts import Host
from orchestration.instructions.networks import ensure_bridges, ensure_networks
from orchestration.instructions.task import Task
from orchestration.plan.model import Command, Kind
from orchestration.plan.resources import NAT_KEY
from orchestration.providers.libvirt import devices
from orchestration.providers.ovs import flows
from orchestration.state.model import HostKind
from orchestration.transport.base import Scope, command
from tests.fakes import FakeTransport
from tests.orchestration.instructions.conftest import MakeTask
from tests.orchestration.instructions.rehearsal import Rehearsal, with_card
from tests.orchestration.providers.libvirt.samples import network_names

BRIDGES = Kind.ENSURE_BRIDGES


def statuses(rehearsal: Rehearsal, kind: Kind, of: Command) -> dict[str, Status]:
    results = rehearsal.obey(rehearsal.instruction(kind, of))
    return {result.name: result.status for result in results}


def tables(rehearsal: Rehearsal, host: str) -> dict[str, str]:
    return dict(rehearsal.memory(host)["tables"])


def test_each_host_has_its_firewall_which_outlives_the_testbed(
    rehearsal: Rehearsal,
) -> None:
    rehearsal.up()
    again = statuses(rehearsal, Kind.ENSURE_FIREWALL, Command.UP)
    rehearsal.down()

    assert again == {"host-a": Status.UNCHANGED, "host-b": Status.UNCHANGED}
    assert set(tables(rehearsal, "host-a")) == {"inet testbed"}
    assert set(tables(rehearsal, "host-b")) == {"inet testbed"}


def test_guests_are_bound_to_their_management_addresses(rehearsal: Rehearsal) -> None:
    rehearsal.up()

    for guest in rehearsal.state.guests:
        found = tables(rehearsal, guest.host)["bridge testbed_t7"]
        card = guest.management
        assert card is not None
        assert f'"{card.tap}" . {card.mac} . {card.address}' in found


def test_networks_are_where_the_state_has_them(rehearsal: Rehearsal) -> None:
    rehearsal.up()

    found = {
        name: network_names(rehearsal.hosts.open(rehearsal.state.host(name)).libvirt)
        for name in ("host-a", "host-b")
    }

    assert found == {"host-a": ("t7-mgmt", "t7-nat"), "host-b": ("t7-mgmt",)}


def test_bridges_and_tunnel_ends_are_where_the_state_has_them(
    rehearsal: Rehearsal,
) -> None:
    rehearsal.up()

    (tunnel,) = rehearsal.state.network.tunnels
    for end in tunnel.ends:
        memory = rehearsal.memory(end.host)
        port = memory["ports"][end.port]
        assert port["bridge"] == end.device
        assert port["type"] == tunnel.kind
        assert port["options"]["remote_ip"] == end.remote_address
        assert port["external_ids"]["testbed"] == "demo"
        assert list(memory["bridges"]) == [end.device]


def test_way_out_is_a_pair_of_devices_between_network_and_bridge(
    rehearsal: Rehearsal,
) -> None:
    rehearsal.up()

    nat = rehearsal.state.network.nat
    assert nat is not None
    memory = rehearsal.memory("host-a")
    assert memory["links"][nat.veth_network_end]["master"] == nat.device
    assert memory["ports"][nat.veth_bridge_end]["bridge"] == nat.external_device


def test_removed_part_is_made_again_and_only_that(
    rehearsal: Rehearsal,
) -> None:
    rehearsal.up()
    (tunnel,) = rehearsal.state.network.tunnels
    end = next(e for e in tunnel.ends if e.host == "host-b")
    host = rehearsal.hosts.open(rehearsal.state.host("host-b"))
    host.transport.run(command("ovs-vsctl", "del-port", end.port), scope=Scope())

    links = statuses(rehearsal, Kind.ENSURE_LINKS, Command.UP)

    assert links == {
        "br0/br1 on host-a": Status.UNCHANGED,
        "br0/br1 on host-b": Status.DONE,
        "uplink": Status.UNCHANGED,
    }


def test_each_deletion_says_whether_there_was_anything(rehearsal: Rehearsal) -> None:
    rehearsal.up()

    for kind in (Kind.DELETE_LINKS, Kind.DELETE_BRIDGES):
        first = statuses(rehearsal, kind, Command.DOWN)
        again = statuses(rehearsal, kind, Command.DOWN)
        assert set(first.values()) == {Status.DONE}
        assert set(again.values()) == {Status.UNCHANGED}


def test_deletion_of_what_never_was_is_unchanged(rehearsal: Rehearsal) -> None:
    for kind in (Kind.DELETE_LINKS, Kind.DELETE_BRIDGES, Kind.DELETE_NETWORKS):
        found = statuses(rehearsal, kind, Command.DOWN)
        assert set(found.values()) == {Status.UNCHANGED}


def test_bridge_of_somebody_else_is_not_touched(rehearsal: Rehearsal) -> None:
    (bridge,) = (b for b in rehearsal.state.network.bridges if b.host == "host-b")
    host = rehearsal.hosts.open(rehearsal.state.host("host-b"))
    host.transport.run(command("ovs-vsctl", "add-br", bridge.device), scope=Scope())

    made = statuses(rehearsal, Kind.ENSURE_BRIDGES, Command.UP)
    deleted = statuses(rehearsal, Kind.DELETE_BRIDGES, Command.DOWN)

    assert made[bridge.name] is Status.FAILED
    assert deleted[bridge.name] is Status.WARNING
    assert bridge.device in rehearsal.memory("host-b")["bridges"]


def on(rehearsal: Rehearsal, host: str, words: str) -> None:
    transport = rehearsal.hosts.open(rehearsal.state.host(host)).transport
    transport.run(command(*words.split()), scope=Scope())


def test_running_guest_is_plugged_into_a_bridge_that_was_made_anew(
    rehearsal: Rehearsal,
) -> None:
    rehearsal.up()
    # A simulated machine has no taps: a device of that name stands for one.
    on(rehearsal, "host-a", "ip link add t7g0i0 type veth peer name x0")

    first = statuses(rehearsal, Kind.ENSURE_BRIDGES, Command.UP)
    again = statuses(rehearsal, Kind.ENSURE_BRIDGES, Command.UP)

    assert first == {"br0": Status.DONE, "br1": Status.UNCHANGED}
    assert again == {"br0": Status.UNCHANGED, "br1": Status.UNCHANGED}
    assert rehearsal.memory("host-a")["ports"]["t7g0i0"]["bridge"] == "t7-br0"


def test_running_guests_tap_in_a_vlan_leaves_it(rehearsal: Rehearsal) -> None:
    rehearsal.up()
    on(rehearsal, "host-a", "ip link add t7g0i0 type veth peer name x0")
    on(rehearsal, "host-a", "ip link set dev t7g0i0 up")
    on(rehearsal, "host-a", "ovs-vsctl -- add-port t7-br0 t7g0i0")
    on(rehearsal, "host-a", "ovs-vsctl -- set Port t7g0i0 tag=5")

    results = {r.name: r for r in rehearsal.obey(rehearsal.instruction(BRIDGES))}
    again = statuses(rehearsal, BRIDGES, Command.UP)

    assert results["br0"].message == "repaired 1 interface of running guests"
    assert rehearsal.memory("host-a")["ports"]["t7g0i0"]["tag"] == ""
    assert again["br0"] is Status.UNCHANGED


def test_running_guests_tap_that_is_down_is_set_up(rehearsal: Rehearsal) -> None:
    rehearsal.up()
    on(rehearsal, "host-a", "ip link add t7g0i0 type veth peer name x0")
    on(rehearsal, "host-a", "ovs-vsctl -- add-port t7-br0 t7g0i0")

    results = {r.name: r for r in rehearsal.obey(rehearsal.instruction(BRIDGES))}
    again = statuses(rehearsal, BRIDGES, Command.UP)

    assert results["br0"].message == "repaired 1 interface of running guests"
    assert rehearsal.memory("host-a")["links"]["t7g0i0"]["up"]
    assert again["br0"] is Status.UNCHANGED


def test_guest_on_a_wrong_bridge_is_moved_unless_an_edit_is_to_move_it(
    rehearsal: Rehearsal,
) -> None:
    rehearsal.up()
    on(rehearsal, "host-a", "ip link add t7g0i0 type veth peer name x0")
    on(rehearsal, "host-a", "ip link set dev t7g0i0 up")
    wrong = "ovs-vsctl -- add-br wrong -- del-port t7g0i0 -- add-port wrong t7g0i0"
    on(rehearsal, "host-a", wrong)
    conn = rehearsal.hosts.open(rehearsal.state.main).libvirt
    current = rehearsal.state.guest("a").spec_hash

    devices.set_spec_hash(conn, rehearsal.domain("a"), "")
    assert statuses(rehearsal, Kind.ENSURE_BRIDGES, Command.UP)["br0"] == (
        Status.UNCHANGED
    )
    devices.set_spec_hash(conn, rehearsal.domain("a"), current)
    assert statuses(rehearsal, Kind.ENSURE_BRIDGES, Command.UP)["br0"] == Status.DONE

    assert rehearsal.memory("host-a")["ports"]["t7g0i0"]["bridge"] == "t7-br0"


def test_network_card_is_plugged_in_moved_and_given_back(rehearsal: Rehearsal) -> None:
    def port() -> object:
        ports = rehearsal.memory("host-a")["ports"]
        return ports["eth1"]["bridge"] if "eth1" in ports else None

    devices = {b.name: b.device for b in rehearsal.state.network.bridges}
    rehearsal.build(with_card("br0"))
    rehearsal.up()
    first = port()
    again = statuses(rehearsal, Kind.ENSURE_LINKS, Command.UP)
    rehearsal.edit(with_card("br1"))
    rehearsal.up()
    moved = port()
    down = statuses(rehearsal, Kind.DELETE_LINKS, Command.DOWN)

    assert first == devices["br0"]
    assert again["card eth1"] is Status.UNCHANGED
    assert moved == devices["br1"]
    assert down["card eth1"] is Status.DONE
    assert port() is None
    assert "eth1" in rehearsal.memory("host-a")["links"]


@pytest.mark.parametrize(
    ("controller", "resets"), [(None, ["t7-br0"]), ("tcp:192.0.2.9:6653", [])]
)
def test_switch_gets_its_flow_again_unless_a_controller_owns_its_flows(
    rehearsal: Rehearsal,
    make_task: MakeTask,
    monkeypatch: pytest.MonkeyPatch,
    controller: str | None,
    resets: list[str],
) -> None:
    rehearsal.up()
    task = make_task("t7-br0")
    (bridge,) = (b for b in task.state.network.bridges if b.device == "t7-br0")
    real = task.host.state.model_copy(update={"kind": HostKind.REAL})
    wanted = bridge.model_copy(update={"controller": controller})
    network = task.state.network.model_copy(update={"bridges": (wanted,)})
    state = task.state.model_copy(update={"network": network})
    host = Host(real, task.host.transport, task.host.libvirt)
    reset: list[str] = []
    monkeypatch.setattr(flows, "altered", lambda _, devices, **__: frozenset(devices))
    monkeypatch.setattr(flows, "reset", lambda _, device, **__: reset.append(device))

    found = ensure_bridges(replace(task, state=state, host=host))

    assert found.status is Status.DONE
    assert reset == resets


LOOKS = re.compile(r"sh -c .*", re.DOTALL)


def serving(make_task: MakeTask, *answers: str) -> tuple[Task, FakeTransport]:
    """Give the task of the NAT network on a real main, which has a dnsmasq or not."""
    task = make_task(NAT_KEY)
    devices = ("ip -json link show", "[]")
    looks = FakeTransport("host-a", [devices, *((LOOKS, answer) for answer in answers)])
    real = task.host.state.model_copy(update={"kind": HostKind.REAL})
    return replace(task, host=Host(real, looks, task.host.libvirt)), looks


def test_dnsmasq_that_ended_is_started_again(
    rehearsal: Rehearsal, make_task: MakeTask
) -> None:
    rehearsal.up()
    task, looks = serving(make_task, "other-nat\n", "t7-nat\n")

    again, settled = ensure_networks(task), ensure_networks(task)

    assert again.status is Status.DONE
    assert again.message == "started its name server again"
    assert settled.status is Status.UNCHANGED
    assert sum(line.startswith("sh -c") for line in looks.lines) == 3
    conn = task.host.libvirt
    xml = conn.call("x", lambda h: h.networkLookupByName("t7-nat").XMLDesc())
    assert "<txt" not in xml


def test_dnsmasq_that_does_not_stay_is_an_error(
    rehearsal: Rehearsal, make_task: MakeTask
) -> None:
    rehearsal.up()
    task, _ = serving(make_task, "")

    with pytest.raises(NetworkFailed, match="and so does a new one") as failed:
        ensure_networks(task)

    assert "journalctl" in failed.value.hint
