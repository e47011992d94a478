"""Properties of every plan, of any testbeds, changes and hosts.

Plans are numbered and ordered, say each thing once, find all that they name, and leave
alone what does not differ. Expected plans of samples are in test_plan.py.
"""

from hypothesis import given, settings

from orchestration.compose.language.schema import Spec
from orchestration.plan.lifecycle import LIFECYCLE, Plan, plan
from orchestration.plan.model import Command, Kind, Stage
from orchestration.state.diff.changes import diff
from orchestration.state.diff.deployed import union
from orchestration.state.model import HostState
from tests.orchestration.state.samples import build
from tests.orchestration.state.strategies import NUMBER, inventories, specs

STAGES = list(Stage)


@settings(deadline=None, max_examples=60, derandomize=True)
@given(specs(), inventories())
def test_every_plan_is_numbered_ordered_and_says_each_thing_once(
    spec: Spec, hosts: tuple[HostState, ...]
) -> None:
    state = build(spec, hosts=hosts, number=NUMBER)

    for command in LIFECYCLE:
        whole = plan(command, state)
        entries = whole.instructions

        assert [e.index for e in entries] == list(range(len(entries)))
        stages = [STAGES.index(e.stage) for e in entries]
        assert stages == sorted(stages)
        assert (entries[0].kind, entries[-1].kind) == (Kind.INIT, Kind.END)
        assert all(e.resources for e in entries[:-1])
        assert entries[-1].resources == ()
        for e in entries:
            names = [resource.name for resource in e.resources]
            places = [(resource.host, resource.key) for resource in e.resources]
            assert len(set(names)) == len(names)
            assert len(set(places)) == len(places)
            assert {r.host for r in e.resources} <= {h.name for h in state.used_hosts}
        assert Plan.from_json(whole.to_json()) == whole
        assert plan(command, state) == whole


@settings(deadline=None, max_examples=60, derandomize=True)
@given(specs(), specs(), inventories())
def test_every_plan_of_a_change_is_ordered_and_finds_all_it_names(
    one: Spec, other: Spec, hosts: tuple[HostState, ...]
) -> None:
    old = build(one, hosts=hosts, number=NUMBER)
    new = build(other, hosts=hosts, number=NUMBER, previous=old)
    known = union(old, new)

    assert union(known, new) == known
    for command in LIFECYCLE:
        entries = plan(command, new, previous=known).instructions
        stages = [STAGES.index(e.stage) for e in entries]
        assert stages == sorted(stages)
        for e in entries:
            names = [resource.name for resource in e.resources]
            places = [(resource.host, resource.key) for resource in e.resources]
            assert len(set(names)) == len(names)
            assert len(set(places)) == len(places)
    up, down = (plan(c, new, previous=known) for c in (Command.UP, Command.DOWN))
    stopped = {
        r for e in up.instructions if e.kind == Kind.STOP_GUESTS for r in e.resources
    }
    kept = {(g.name, g.host) for g in new.guests}
    went = {(g.name, g.host) for g in old.guests} - kept
    assert {(r.key, r.host) for r in stopped} == went
    taken = {
        r for e in down.instructions if e.kind == Kind.STOP_GUESTS for r in e.resources
    }
    assert {(r.key, r.host) for r in taken} == went | kept


@settings(deadline=None, max_examples=30, derandomize=True)
@given(specs(), inventories())
def test_nothing_is_planned_for_what_does_not_differ(
    spec: Spec, hosts: tuple[HostState, ...]
) -> None:
    state = build(spec, hosts=hosts, number=NUMBER)
    again = build(spec, hosts=hosts, number=NUMBER, previous=state)

    whole, plain = plan(Command.UP, again, previous=state), plan(Command.UP, state)

    assert diff(state, again).is_empty
    # Only the record of what may exist besides is dropped.
    work = [e for e in whole.instructions if e.kind != Kind.FORGET_REMOVED]
    assert [(e.kind, e.resources) for e in work] == [
        (e.kind, e.resources) for e in plain.instructions
    ]
    assert not any(e.of_deployed for e in work)
