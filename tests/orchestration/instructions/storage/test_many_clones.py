"""Clones by the hundred, and more and fewer of them, on two simulated hosts."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.compose.language.schema import Spec
from orchestration.events import Event, Status, TaskFinished, TaskStarted
from orchestration.plan.lifecycle import plan
from orchestration.plan.model import Command, Kind
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.orchestration.state.samples import scaled, spec_of

SCRIPTS = {"shared.sh": "#!/bin/sh\nmake things\n"}
AT_ONCE = 16


def clones(count: int) -> Spec:
    """Clones that come to lie on two hosts in turn."""
    cards = [[f"br{number % 2}"] for number in range(count)]
    node = scaled("node", *cards, shared_setup="shared.sh")
    return spec_of(node, bridges=("br0", "br1"), joined={"br0": "br1"})


@pytest.fixture(name="scaling")
def _scaling(tmp_path: Path) -> Iterator[Rehearsal]:
    rehearsal = Rehearsal(tmp_path, clones(3), scripts=SCRIPTS)
    yield rehearsal
    rehearsal.hosts.close()


def busiest(events: list[Event]) -> Counter[str]:
    """Return how many tasks were worked on at once on each host, at most."""
    now: Counter[str] = Counter()
    most: Counter[str] = Counter()
    for event in events:
        if isinstance(event, TaskStarted):
            now[event.host] += 1
            most[event.host] = max(most[event.host], now[event.host])
        elif isinstance(event, TaskFinished):
            now[event.host] -= 1
    return most


def touched(rehearsal: Rehearsal, kind: Kind) -> list[str]:
    """Name what the next up works on with an instruction, as it is shown before."""
    previous = rehearsal.project.read_known()
    shown = plan(Command.UP, rehearsal.state, previous=previous)
    found = (i.resources for i in shown.instructions if i.kind == kind)
    return [r.name for resources in found for r in resources]


def test_hundred_clones_are_made_and_started_a_few_at_a_time(
    scaling: Rehearsal,
) -> None:
    scaling.build(clones(100))

    outcomes = scaling.up()

    assert outcomes.failed() == {}
    assert outcomes.of(Kind.PREPARE_GOLDENS)["node"].status is Status.DONE
    assert len(outcomes.of(Kind.PUSH_GOLDENS)) == 1
    for kind in (Kind.CREATE_CLONES, Kind.START_GUESTS, Kind.SET_UP_GUESTS):
        results = outcomes.of(kind).values()
        assert Counter(r.host for r in results) == {"host-a": 50, "host-b": 50}, kind
        assert {r.status for r in results} == {Status.DONE}, kind
    most = busiest(scaling.events)
    assert max(most.values()) <= AT_ONCE
    for guest in scaling.state.guests:
        disk = scaling.memory(guest.host)["files"][guest.disk]
        assert disk["backing"] == guest.image.path


def test_three_become_five_and_then_two_as_the_plan_said_before(
    scaling: Rehearsal,
) -> None:
    assert scaling.up().failed() == {}

    scaling.edit(clones(5))
    assert touched(scaling, Kind.STOP_GUESTS) == []
    assert touched(scaling, Kind.DELETE_DISKS) == []
    more = scaling.up()

    made = {name: r.status for name, r in more.of(Kind.CREATE_CLONES).items()}
    new = {name for name, status in made.items() if status is Status.DONE}
    assert new == {"node-3", "node-4"}
    started = more.of(Kind.START_GUESTS)
    assert {started[f"node-{n}"].message for n in range(3)} == {"already runs"}
    assert more.of(Kind.PREPARE_GOLDENS)["node"].status is Status.UNCHANGED

    scaling.edit(clones(2))
    gone = {"node-2", "node-3", "node-4"}
    assert set(touched(scaling, Kind.STOP_GUESTS)) == gone
    assert set(touched(scaling, Kind.DELETE_DISKS)) == gone
    disks = {name: scaling.project.read_known().guest(name) for name in gone}
    fewer = scaling.up()

    assert fewer.failed() == {}
    assert set(fewer.of(Kind.STOP_GUESTS)) == gone
    assert {r.status for r in fewer.of(Kind.DELETE_DISKS).values()} == {Status.DONE}
    for guest in disks.values():
        assert guest.disk not in scaling.memory(guest.host)["files"]
    started = fewer.of(Kind.START_GUESTS)
    assert {r.message for r in started.values()} == {"already runs"}
    assert set(started) == {"node-0", "node-1"}
