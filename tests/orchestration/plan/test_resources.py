"""Resources: what instructions work on, and that actions find each again by its key."""

import pytest

from orchestration.instructions.table import ACTIONS
from orchestration.plan.lifecycle import LIFECYCLE, plan
from orchestration.plan.model import Kind
from orchestration.plan.resources import (
    MANAGEMENT_KEY,
    NAT_KEY,
    bridge_resources,
    guest_resources,
    image_resources,
    link_resources,
    network_resources,
    remote_guest_resources,
    remote_image_resources,
    whole_testbed,
)
from orchestration.state.model.network import UPLINK_KEY
from tests.orchestration.state.samples import SAMPLES, sample


@pytest.mark.parametrize("name", SAMPLES)
def test_each_planned_thing_is_in_the_state_under_its_key(name: str) -> None:
    state = sample(name)
    network = state.network
    bridges = {(b.host, b.device) for b in network.bridges}
    ends = {(e.host, t.name) for t in network.tunnels for e in t.ends}
    links = ends | {(p.host, p.name) for p in network.patches}
    managed = {m.host for m in network.management}

    assert {(r.host, r.key) for r in bridge_resources(state)} == bridges
    for resource in link_resources(state):
        is_way_out = resource.key == UPLINK_KEY and network.nat is not None
        assert is_way_out or (resource.host, resource.key) in links
    for resource in network_resources(state):
        is_nat = resource.key == NAT_KEY and network.nat is not None
        assert is_nat or resource.key == MANAGEMENT_KEY
        assert is_nat or resource.host in managed
    for resource in guest_resources(state.guests):
        assert state.guest(resource.key).host == resource.host
    assert whole_testbed(state)[0].key == state.testbed


@pytest.mark.parametrize("name", SAMPLES)
def test_every_planned_kind_has_an_action(name: str) -> None:
    state = sample(name)

    for command in LIFECYCLE:
        for entry in plan(command, state).instructions:
            assert Kind(entry.kind) in ACTIONS


def test_stretched_bridge_is_named_plainly_at_home_and_with_its_host_elsewhere() -> (
    None
):
    resources = bridge_resources(sample("stretched"))

    plain = [r.name for r in resources if " on " not in r.name]
    others = [r for r in resources if " on " in r.name]
    assert plain == ["br0", "br1"]
    assert others
    assert all(r.name.endswith(f" on {r.host}") for r in others)


def test_each_image_is_fetched_once_and_goes_once_to_each_other_host() -> None:
    state = sample("stretched")
    main = state.main.name
    remote = {(g.image.name, g.host) for g in state.guests if g.host != main}

    assert [r.name for r in image_resources(state)] == ["test_guest"]
    pushed = remote_image_resources(state)
    assert sorted((r.key, r.host) for r in pushed) == sorted(remote)


def test_guests_on_main_need_no_copies() -> None:
    state = sample("one-host")

    assert remote_guest_resources(state) == ()
    assert remote_image_resources(state) == ()


def test_guests_can_be_worked_on_elsewhere() -> None:
    state = sample("stretched")

    hosts = {r.host for r in guest_resources(state.guests, host="host-a")}

    assert hosts == {"host-a"}
