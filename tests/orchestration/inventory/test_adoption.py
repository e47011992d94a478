"""Orphans as a part of what may be deployed: the next `down` removes them."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.inventory.adoption import adopt
from orchestration.inventory.orphans import known_things
from orchestration.inventory.things import Thing, ThingKind, observe
from orchestration.transport.base import Scope
from tests.orchestration.instructions.rehearsal import Rehearsal, two_guests
from tests.orchestration.state.samples import machine, spec_of


@pytest.fixture(name="rehearsal")
def _rehearsal(tmp_path: Path) -> Iterator[Rehearsal]:
    rehearsal = Rehearsal(tmp_path)
    yield rehearsal
    rehearsal.hosts.close()


def held(rehearsal: Rehearsal) -> list[tuple[str, Thing]]:
    """Everything on both hosts."""
    found = []
    for state in rehearsal.inventory:
        things = observe(rehearsal.hosts.open(state), scope=Scope()).things
        found += [(state.name, thing) for thing in things]
    return found


def orphans(rehearsal: Rehearsal) -> list[tuple[str, Thing]]:
    known = known_things(rehearsal.project.read_known())
    return [(h, t) for h, t in held(rehearsal) if (h, t.kind, t.name) not in known]


def hosts(rehearsal: Rehearsal):
    return {host.name: host for host in rehearsal.inventory}


def test_what_a_state_forgot_is_removed_by_the_next_down(rehearsal: Rehearsal) -> None:
    rehearsal.up()
    # As if an older copy of the folder was restored: it knows one guest on main.
    rehearsal.project.clear()
    rehearsal.build(spec_of(machine("a", "br0"), bridges=("br0",)))
    forgotten = orphans(rehearsal)
    assert {(host, thing.kind.value) for host, thing in forgotten} >= {
        ("host-b", "domain"),
        ("host-b", "bridge"),
        ("host-b", "port"),
        ("host-b", "network"),
        ("host-b", "folder"),
        ("host-a", "port"),
    }

    adoption = adopt(rehearsal.project.read_known(), forgotten, hosts(rehearsal))
    rehearsal.project.write_change(adoption.state, rehearsal.state)

    assert adoption.left == []
    assert orphans(rehearsal) == []
    down = rehearsal.down()
    assert down.failed() == {}
    assert {thing.kind for _, thing in held(rehearsal)} == {ThingKind.FOLDER}


def test_nat_that_a_state_forgot_is_removed_with_its_way_out(
    rehearsal: Rehearsal,
) -> None:
    rehearsal.up()
    rehearsal.project.clear()
    state = rehearsal.build(two_guests())
    network = state.network.model_copy(update={"nat": None})
    rehearsal.project.write_state(state.model_copy(update={"network": network}))
    assert {t.name for _, t in orphans(rehearsal)} == {
        "demo-nat",
        "t7vn",
        "t7vb",
    }

    found = orphans(rehearsal)
    adoption = adopt(rehearsal.project.read_known(), found, hosts(rehearsal))
    rehearsal.project.write_change(adoption.state, rehearsal.state)
    down = rehearsal.down()

    assert adoption.left == []
    assert down.failed() == {}
    assert {thing.kind for _, thing in held(rehearsal)} == {ThingKind.FOLDER}


def test_pairs_of_devices_that_a_state_forgot_are_removed(tmp_path: Path) -> None:
    bridges, joined = ("br0", "br1", "br2"), {"br0": "br1", "br1": "br2", "br2": "br0"}
    ring = Rehearsal(
        tmp_path, spec_of(machine("a", "br0"), bridges=bridges, joined=joined)
    )
    ring.up()
    assert orphans(ring) == []
    ring.project.clear()
    ring.build(spec_of(machine("a", "br0"), bridges=("br0",)))
    found = orphans(ring)
    pairs = {t.name[:3] for _, t in found if t.kind is ThingKind.LINK}
    assert pairs == {"t7w"}

    adoption = adopt(ring.project.read_known(), found, hosts(ring))
    ring.project.write_change(adoption.state, ring.state)

    assert adoption.left == []
    assert ring.down().failed() == {}
    assert {thing.kind for _, thing in held(ring)} == {ThingKind.FOLDER}
    ring.hosts.close()


def test_adopting_nothing_changes_nothing(rehearsal: Rehearsal) -> None:
    known = rehearsal.project.read_known()

    assert adopt(known, [], hosts(rehearsal)).state == known


@pytest.mark.parametrize(
    ("host", "thing", "reason"),
    [
        ("host-b", Thing(ThingKind.DOMAIN, "odd", "demo", "a"), "has not the name"),
        ("host-b", Thing(ThingKind.NETWORK, "odd", "demo"), "has not the name"),
        ("host-b", Thing(ThingKind.LINK, "t9vn", ""), "has not the number"),
        ("host-b", Thing(ThingKind.PORT, "p", "demo", place="br-x"), "is on a bridge"),
        ("host-z", Thing(ThingKind.BRIDGE, "t7-x", "demo"), "not known"),
    ],
)
def test_what_cannot_be_adopted_is_named_with_its_reason(
    rehearsal: Rehearsal, host: str, thing: Thing, reason: str
) -> None:
    known = rehearsal.project.read_known()

    adoption = adopt(known, [(host, thing)], hosts(rehearsal))

    assert adoption.state == known
    ((_, left, why),) = adoption.left
    assert left == thing
    assert reason in why


def test_folder_is_adopted_only_with_something_else_on_its_host(
    rehearsal: Rehearsal,
) -> None:
    rehearsal.build(spec_of(machine("a", "br0"), bridges=("br0",)))
    known = rehearsal.project.read_known()
    folder = ("host-b", Thing(ThingKind.FOLDER, "demo", "demo"))
    bridge = ("host-b", Thing(ThingKind.BRIDGE, "t7-old", "demo", "old"))

    alone = adopt(known, [folder], hosts(rehearsal))
    together = adopt(known, [folder, bridge], hosts(rehearsal))

    assert [thing for _, thing, _ in alone.left] == [folder[1]]
    assert together.left == []
