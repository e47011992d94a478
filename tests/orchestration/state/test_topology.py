"""Bridges and links: one per connection, patches where they do, else tunnels."""

import pytest

from orchestration.errors import StateError
from orchestration.state.model import HostKind, State
from tests.orchestration.state.samples import HOSTS, build, machine, spec_of

A, B, C = HOSTS


def patches(state: State) -> list[tuple[str, str]]:
    return [(patch.name, patch.host) for patch in state.network.patches]


def tunnels(state: State) -> list[tuple[str, ...]]:
    return [
        (tunnel.name, *(end.host for end in tunnel.ends))
        for tunnel in state.network.tunnels
    ]


def test_bridges_of_one_host_are_joined_by_a_patch() -> None:
    spec = spec_of(bridges=("br0", "br1"), joined={"br0": "br1"})

    state = build(spec, hosts=[A])

    (patch,) = state.network.patches
    assert (patch.name, patch.device_a, patch.device_b) == (
        "br0/br1",
        "t7-br0",
        "t7-br1",
    )
    assert (patch.port_a, patch.port_b) == ("t7p0a", "t7p0b")
    assert state.network.tunnels == ()


def test_bridges_of_two_hosts_are_joined_by_a_tunnel_between_their_addresses() -> None:
    spec = spec_of(bridges=("br0", "br1"), joined={"br1": "br0"})

    state = build(spec, hosts=[A, B])

    (tunnel,) = state.network.tunnels
    source, target = tunnel.ends
    assert (tunnel.kind, tunnel.key) == ("vxlan", 7 * 8192 + 1)
    assert (source.host, source.device, source.port) == ("host-b", "t7-br1", "t7v0")
    assert (target.host, target.device, target.port) == ("host-a", "t7-br0", "t7v0")
    assert (source.local_address, source.remote_address) == (
        "198.51.100.2",
        "198.51.100.1",
    )
    assert (target.local_address, target.remote_address) == (
        "198.51.100.1",
        "198.51.100.2",
    )


def test_connection_uses_a_patch_where_stretching_put_both_bridges() -> None:
    spec = spec_of(
        machine("both", "br0", "br1"), bridges=("br0", "br1"), joined={"br0": "br1"}
    )

    state = build(spec, hosts=[A, B])

    assert patches(state) == [("br0/br1", "host-a")]
    assert tunnels(state) == [("br1@host-a", "host-b", "host-a")]


def test_patch_is_on_the_home_of_the_source_when_several_hosts_have_both() -> None:
    spec = spec_of(
        machine("x", "br0", "br1"),
        machine("y", "br1", "br0"),
        bridges=("br0", "br1"),
        joined={"br1": "br0"},
    )

    state = build(spec, hosts=[A, B])

    assert patches(state) == [("br1/br0", "host-b")]
    assert tunnels(state) == [
        ("br0@host-b", "host-a", "host-b"),
        ("br1@host-a", "host-b", "host-a"),
    ]


def test_patch_is_on_the_first_host_that_has_both_when_the_home_has_not() -> None:
    spec = spec_of(
        machine("x", "br2", "br0", "br1"),
        bridges=("br0", "br1", "br2"),
        joined={"br1": "br0"},
        external=None,
    )

    state = build(spec, hosts=[A, B, C])

    assert patches(state) == [("br1/br0", "host-c")]


def test_bridges_in_a_ring_get_rstp_on_every_host_and_others_do_not() -> None:
    spec = spec_of(
        machine("x", "br3", "br0"),
        bridges=("br0", "br1", "br2", "br3", "tail"),
        joined={"br0": "br1", "br1": "br2", "br2": "br0", "tail": "br0"},
    )

    state = build(spec, hosts=[A, B, C])

    with_rstp = {b.name for b in state.network.bridges if b.rstp}
    without = {b.name for b in state.network.bridges if not b.rstp}
    assert with_rstp == {"br0", "br1", "br2", "tail"}
    assert without == {"br3"}


def test_bridges_with_rstp_are_joined_by_veth_pairs_and_others_by_patch_ports() -> None:
    names = ("br0", "br1", "br2", "br3", "br4")
    joined = {"br0": "br1", "br1": "br2", "br2": "br0", "br3": "br4"}

    state = build(spec_of(bridges=names, joined=joined), hosts=[A])

    ports = {p.name: (p.port_a, p.port_b, p.is_veth) for p in state.network.patches}
    assert ports["br2/br0"] == ("t7w2a", "t7w2b", True)
    assert ports["br3/br4"] == ("t7p3a", "t7p3b", False)


def test_bridges_that_had_rstp_keep_it_when_the_loop_is_gone() -> None:
    names = ("br0", "br1", "br2")
    ring = spec_of(bridges=names, joined={"br0": "br1", "br1": "br2", "br2": "br0"})
    line = spec_of(bridges=names, joined={"br1": "br2", "br2": "br0"})
    before = build(ring, hosts=[A])

    after = build(line, hosts=[A], previous=before)

    assert all(bridge.rstp for bridge in after.network.bridges)
    assert after.network.patches == before.network.patches[1:]
    assert not any(bridge.rstp for bridge in build(line, hosts=[A]).network.bridges)


def test_connection_written_both_ways_is_two_links_and_a_loop() -> None:
    spec = spec_of(bridges=("br0", "br1"), joined={"br0": "br1", "br1": "br0"})

    state = build(spec, hosts=[A])

    assert patches(state) == [("br0/br1", "host-a"), ("br1/br0", "host-a")]
    assert all(bridge.rstp for bridge in state.network.bridges)


def test_links_keep_their_ports_and_keys_when_others_come_and_go() -> None:
    names = ("br0", "br1", "br2", "br3")
    joined = {"br0": "br1", "br2": "br3", "br1": "br2"}
    before = build(spec_of(bridges=names, joined=joined), hosts=[A, B])
    joined = {"br3": "br0", "br0": "br3", "br2": "br3", "br1": "br2"}

    after = build(spec_of(bridges=names, joined=joined), hosts=[A, B], previous=before)

    keys = {tunnel.name: tunnel.key - 7 * 8192 - 1 for tunnel in after.network.tunnels}
    assert keys == {"br3/br0": 0, "br0/br3": 3, "br2/br3": 1, "br1/br2": 2}


def test_patch_that_becomes_a_tunnel_keeps_its_index() -> None:
    spec = spec_of(bridges=("br0", "br1", "br2"), joined={"br0": "br1", "br1": "br2"})
    before = build(spec, hosts=[A])
    assert [patch.port_a for patch in before.network.patches] == ["t7p0a", "t7p1a"]
    moved = before.network.bridges[0].model_copy(update={"host": "host-b"})
    network = before.network.model_copy(
        update={"bridges": (moved, *before.network.bridges[1:])}
    )
    spec = spec_of(
        bridges=("br0", "br1", "br2"),
        joined={"br1": "br2", "br0": "br1"},
        external=None,
    )

    after = build(
        spec, hosts=[A, B], previous=before.model_copy(update={"network": network})
    )

    assert [tunnel.key for tunnel in after.network.tunnels] == [7 * 8192 + 1]
    assert [patch.port_a for patch in after.network.patches] == ["t7p1a"]


def test_tunnels_fall_back_to_the_address_of_the_host() -> None:
    spec = spec_of(bridges=("br0", "br1"), joined={"br0": "br1"})

    state = build(spec, hosts=[A, C])

    (tunnel,) = state.network.tunnels
    assert tunnel.ends[0].remote_address == "192.0.2.3"


def test_real_host_without_an_address_cannot_end_a_tunnel() -> None:
    spec = spec_of(bridges=("br0", "br1"), joined={"br0": "br1"})
    lost = C.model_copy(update={"address": ""})

    with pytest.raises(StateError, match="Host host-c has no address"):
        build(spec, hosts=[A, lost])

    simulated = lost.model_copy(update={"kind": HostKind.SIMULATED})
    assert len(build(spec, hosts=[A, simulated]).network.tunnels) == 1


def test_name_of_a_host_is_never_the_end_of_a_tunnel() -> None:
    spec = spec_of(bridges=("br0", "br1"), joined={"br0": "br1"})
    named = C.model_copy(update={"address": "host-c.lab.example"})

    with pytest.raises(StateError, match=r"the name host-c\.lab\.example") as caught:
        build(spec, hosts=[A, named])
    resolved = named.model_copy(update={"tunnel_address": "192.0.2.3"})
    (tunnel,) = build(spec, hosts=[A, resolved]).network.tunnels

    assert "add_host" in caught.value.hint
    assert tunnel.ends[0].remote_address == "192.0.2.3"


def test_unknown_bridge_in_a_connection_is_refused() -> None:
    with pytest.raises(StateError, match="leads to bridge nope"):
        build(spec_of(joined={"br0": "nope"}))


def test_more_links_than_a_testbed_has_keys_are_refused() -> None:
    bridges = [f"b{index:x}" for index in range(8193)]
    joined = dict.fromkeys(bridges[1:], "b0")
    spec = spec_of(bridges=bridges, joined=joined, external=None)

    with pytest.raises(StateError, match="needs 8192 links"):
        build(spec, hosts=[A])
