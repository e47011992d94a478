"""A power verb is one instruction on the guests that it is for."""

import pytest

from orchestration.errors import ExecutionRefused
from orchestration.plan.lifecycle import plan_power
from orchestration.plan.model import Command, Kind, Plan, Stage
from orchestration.plan.power import PAUSED, SHUT_OFF, VERBS, verb_named
from tests.orchestration.state.samples import build, machine, spec_of


def test_plan_names_the_guests_and_their_hosts() -> None:
    state = build(spec_of(machine("a"), machine("b"), machine("c")))

    plan = plan_power(state, VERBS[Kind.SHUT_DOWN], ("c", "a"))

    change, end = plan.instructions
    assert plan.command is Command.POWER
    assert (change.kind, change.stage) == (Kind.SHUT_DOWN, Stage.POWER)
    assert change.title == "Shut down 2 guests"
    assert [resource.name for resource in change.resources] == ["c", "a"]
    assert change.keep_going, "one guest's failure stops no other host"
    assert end.kind == Kind.END
    assert Plan.from_json(plan.to_json()) == plan


def test_verbs_say_in_which_state_a_guest_is_afterwards() -> None:
    assert {kind.value for kind, v in VERBS.items() if v.leaves == SHUT_OFF} == {
        "shut-down",
        "power-off",
    }
    assert [kind for kind, v in VERBS.items() if v.leaves == PAUSED] == [Kind.PAUSE]


def test_verbs_that_lose_data_are_known() -> None:
    lossy = {kind for kind, verb in VERBS.items() if verb.loses_data}

    assert lossy == {Kind.RESET, Kind.POWER_OFF}


def test_unknown_verb_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ExecutionRefused) as refused:
        verb_named("up")

    assert verb_named("pause").title == "Pause"
    assert refused.value.message == "There is no power verb `up`."
    assert "power-on, shut-down, reboot" in refused.value.hint
