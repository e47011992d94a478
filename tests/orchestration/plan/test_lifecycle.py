"""Plans: expected files for each sample, and the rules about order one by one.

The rules that hold for every plan, whatever testbed and hosts it is for, are in
test_plan_properties.py.
"""

import pytest

from orchestration.errors import StateError
from orchestration.plan.lifecycle import LIFECYCLE, Plan, plan, plan_up
from orchestration.plan.model import Command, Instruction, Kind, Options, Stage
from orchestration.state.diff.deployed import union
from tests.golden import Golden
from tests.orchestration.state.samples import (
    EXPECTED,
    HOSTS,
    SAMPLES,
    build,
    machine,
    sample,
    spec_of,
)


def entry(whole: Plan, kind: Kind) -> Instruction:
    (found,) = (e for e in whole.instructions if e.kind == kind)
    return found


@pytest.mark.parametrize("name", SAMPLES)
def test_up_of_each_sample_is_as_reviewed(name: str, golden: Golden) -> None:
    golden(plan(Command.UP, sample(name)).to_text(), EXPECTED / f"{name}.plan.txt")


@pytest.mark.parametrize("command", [c for c in LIFECYCLE if c is not Command.UP])
def test_other_commands_are_as_reviewed(command: Command, golden: Golden) -> None:
    text = plan(command, sample("stretched")).to_text()

    golden(text, EXPECTED / f"stretched.{command}.plan.txt")


def test_plan_survives_json_with_its_options() -> None:
    options = Options(provision=True, rerun_scripts=True)

    whole = plan(Command.UP, sample("stretched"), options)
    again = Plan.from_json(whole.to_json())

    assert again == whole
    assert again.options == options
    assert again.instructions[0].stage is Stage.PREPARE
    assert whole.to_text().splitlines()[0] == "up --provision --rerun-scripts"


@pytest.mark.parametrize("text", ["", "{}", '{"command": "dance"}', "[1]"])
def test_stored_plan_that_is_broken_is_refused(text: str) -> None:
    with pytest.raises(StateError, match="cannot be read"):
        Plan.from_json(text)


def test_only_what_is_needed_goes_to_other_hosts() -> None:
    spec = spec_of(
        machine("a", "br0", name="ubuntu_22_04"),
        machine("b", "br1"),
        machine("c", "br1"),
        machine("d", "br2", run_script="run.sh"),
        bridges=("br0", "br1", "br2"),
    )

    whole = plan_up(build(spec, hosts=HOSTS), Options())

    def places(kind: Kind) -> list[tuple[str, str]]:
        return [(r.key, r.host) for r in entry(whole, kind).resources]

    assert places(Kind.FETCH_IMAGES) == [
        ("ubuntu_22_04", "host-a"),
        ("test_guest", "host-a"),
    ]
    assert places(Kind.PUSH_IMAGES) == [
        ("test_guest", "host-b"),
        ("test_guest", "host-c"),
    ]
    assert places(Kind.PUSH_ARTEFACTS) == [
        ("b", "host-b"),
        ("c", "host-b"),
        ("d", "host-c"),
    ]
    assert places(Kind.RUN_SCRIPTS) == [("d", "host-c")]
    generated = entry(whole, Kind.GENERATE_ARTEFACTS).resources
    assert {resource.host for resource in generated} == {"host-a"}


def test_images_of_clones_go_to_each_host_once_and_before_the_clones() -> None:
    whole = plan_up(sample("spread-clones"), Options())

    def places(kind: Kind) -> list[tuple[str, str]]:
        return [(r.key, r.host) for r in entry(whole, kind).resources]

    assert places(Kind.FETCH_IMAGES) == [
        ("test_guest", "host-a"),
        ("ubuntu_22_04", "host-a"),
    ]
    assert places(Kind.PREPARE_GOLDENS) == [("node", "host-a")]
    assert places(Kind.PUSH_GOLDENS) == [
        ("golden image node", "host-b"),
        ("ubuntu_22_04", "host-b"),
    ]
    assert places(Kind.CREATE_CLONES) == [
        ("node-0", "host-a"),
        ("node-1", "host-b"),
        ("node-2", "host-b"),
        ("plain-0", "host-b"),
    ]
    assert places(Kind.PUSH_IMAGES) == [("test_guest", "host-b")]
    assert places(Kind.CREATE_DISKS) == [("web", "host-b")]
    order = (Kind.FETCH_IMAGES, Kind.PREPARE_GOLDENS, Kind.PUSH_GOLDENS)
    indexes = [entry(whole, k).index for k in (*order, Kind.CREATE_CLONES)]
    assert indexes == sorted(indexes)


def test_only_a_golden_image_with_a_script_gets_artefacts() -> None:
    whole = plan_up(sample("spread-clones"), Options())

    generated = [r.key for r in entry(whole, Kind.GENERATE_ARTEFACTS).resources]

    assert "node" in generated
    assert "plain" not in generated


def test_golden_images_are_never_guests_of_the_testbed() -> None:
    state = sample("spread-clones")

    for command in LIFECYCLE:
        for e in plan(command, state).instructions:
            if e.kind not in (Kind.PREPARE_GOLDENS, Kind.GENERATE_ARTEFACTS):
                assert not {"node", "plain"} & {r.key for r in e.resources}


def test_hosts_that_the_testbed_does_not_use_are_left_alone() -> None:
    state = build(spec_of(machine("a", "br0")), hosts=HOSTS)

    for command in (Command.UP, Command.DOWN):
        hosts = {r.host for e in plan(command, state).instructions for r in e.resources}
        assert hosts == {"host-a"}


def test_both_ends_of_a_tunnel_are_resources_of_one_link() -> None:
    spec = spec_of(bridges=("br0", "br1"), joined={"br0": "br1"})

    links = entry(plan_up(build(spec), Options()), Kind.ENSURE_LINKS)

    assert links.title == "Create 2 links"
    assert [(r.key, r.host) for r in links.resources] == [
        ("br0/br1", "host-a"),
        ("br0/br1", "host-b"),
        ("external", "host-a"),
    ]


def test_down_takes_down_what_up_makes_in_the_opposite_order() -> None:
    state = sample("stretched")
    up, down = plan(Command.UP, state), plan(Command.DOWN, state)

    pairs = (
        (Kind.START_GUESTS, Kind.STOP_GUESTS),
        (Kind.ENSURE_LINKS, Kind.DELETE_LINKS),
        (Kind.ENSURE_BRIDGES, Kind.DELETE_BRIDGES),
        (Kind.ENSURE_NETWORKS, Kind.DELETE_NETWORKS),
        (Kind.PREPARE_HOSTS, Kind.CLEAN_HOSTS),
    )

    for made, deleted in pairs:
        assert entry(up, made).resources == entry(down, deleted).resources
    made = [entry(up, kind).index for kind, _ in pairs]
    deleted = [entry(down, kind).index for _, kind in pairs]
    assert made == sorted(made, reverse=True)
    assert deleted == sorted(deleted)


def test_down_goes_on_after_a_failure_and_up_does_not() -> None:
    state = sample("stretched")

    down = plan(Command.DOWN, state).instructions
    up = plan(Command.UP, state).instructions

    assert all(e.keep_going for e in down[1:-1])
    assert not any(e.keep_going for e in up)


def test_state_is_cleared_last_and_only_after_everything_else_went() -> None:
    entries = plan(Command.CLEAR_ARTEFACTS, sample("stretched")).instructions

    assert entries[-2].kind == Kind.CLEAR_ARTEFACTS
    assert not any(e.keep_going for e in entries)


def test_only_other_hosts_lose_their_folders_with_the_state() -> None:
    spec = spec_of(machine("a", "br0"), machine("b", "br1"), bridges=("br0", "br1"))

    remote = entry(plan(Command.CLEAR_ARTEFACTS, build(spec)), Kind.CLEAR_HOSTS)

    assert [resource.host for resource in remote.resources] == ["host-b"]


def test_up_of_an_edited_yaml_is_as_reviewed(golden: Golden) -> None:
    before = build(
        spec_of(
            machine("web", "br0"),
            machine("db", "br1"),
            machine("old", "br1"),
            machine("wired", "br0"),
            bridges=("br0", "br1", "gone"),
            joined={"br0": "br1", "gone": "br0"},
        )
    )
    after = spec_of(
        machine("web", "br0"),
        machine("db", "br1", "br0", name="ubuntu_22_04"),
        machine("new", "br0"),
        machine("wired", "br0", "br0"),
        bridges=("br0", "br1"),
        joined={"br0": "br1"},
    )
    state = build(after, previous=before)

    whole = plan_up(state, Options(), previous=union(before, state))

    golden(whole.to_text(), EXPECTED / "edited.plan.txt")
    assert {e.kind for e in whole.instructions if e.of_deployed} == {
        Kind.STOP_GUESTS,
        Kind.DELETE_LINKS,
        Kind.DELETE_BRIDGES,
        Kind.DELETE_DISKS,
    }
