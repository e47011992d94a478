"""Up of some guests alone: their images, hosts and networks, and nothing of others."""

import pytest

from orchestration.errors import ExecutionRefused
from orchestration.plan.lifecycle import plan_up_guests
from orchestration.plan.model import ON_GUESTS, Command, Kind, Options, Plan
from orchestration.plan.selected import WAYS, Mode, part_with, way_named
from tests.golden import Golden
from tests.orchestration.state.samples import EXPECTED, SAMPLES, sample


def names_of(whole: Plan, *kinds: Kind) -> set[str]:
    return {
        resource.name
        for entry in whole.instructions
        if entry.kind in kinds
        for resource in entry.resources
    }


def test_up_of_one_clone_is_as_reviewed(golden: Golden) -> None:
    whole = plan_up_guests(sample("spread-clones"), Options(provision=True), ["node-1"])

    golden(whole.to_text(), EXPECTED / "spread-clones.up-guests.plan.txt")
    assert whole.command is Command.UP_GUESTS
    assert whole.options == Options(provision=True, guests=("node-1",))
    assert Plan.from_json(whole.to_json()) == whole


@pytest.mark.parametrize("name", SAMPLES)
def test_other_guests_and_hosts_without_them_are_left(name: str) -> None:
    state = sample(name)
    for guest in state.guests:
        whole = plan_up_guests(state, Options(), [guest.name])

        own = {guest.name, guest.golden} - {""}
        assert guest.name in names_of(whole, *ON_GUESTS)
        assert names_of(whole, *ON_GUESTS) <= own
        hosts = {r.host for entry in whole.instructions for r in entry.resources}
        assert hosts == {guest.host, state.main.name}


def test_networks_on_the_guests_host_are_all_ensured() -> None:
    state = sample("stretched")
    guest = next(g for g in state.guests if g.host != state.main.name)

    whole = plan_up_guests(state, Options(), [guest.name])

    here = {guest.host, state.main.name}
    bridges = {
        (resource.key, resource.host)
        for entry in whole.instructions
        if entry.kind == Kind.ENSURE_BRIDGES
        for resource in entry.resources
    }
    assert bridges == {
        (b.device, b.host) for b in state.network.bridges if b.host in here
    }


def test_part_of_a_testbed_with_all_its_guests_is_the_testbed() -> None:
    state = sample("spread-clones")

    assert part_with(state, [guest.name for guest in state.guests]) == state


def test_only_recreation_loses_data() -> None:
    assert [way.mode for way in WAYS.values() if way.loses_data] == [Mode.RECREATE]
    assert way_named("scripts").options == Options(rerun_scripts=True)


def test_unknown_way_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ExecutionRefused, match="by `down`") as caught:
        way_named("down")

    assert caught.value.hint == "Use one of up, recreate, scripts."
