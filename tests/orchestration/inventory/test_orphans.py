"""The things that a state names, and the deletion of one that no state names."""

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.errors import ForeignThing, StateError
from orchestration.hosts import Host
from orchestration.inventory.orphans import delete_thing, known_things
from orchestration.inventory.things import Inventory, Thing, ThingKind, observe
from orchestration.transport.base import Scope, command
from tests.orchestration.instructions.rehearsal import Rehearsal, with_card


@pytest.fixture(name="up")
def _up(tmp_path: Path) -> Iterator[Rehearsal]:
    rehearsal = Rehearsal(tmp_path)
    rehearsal.up()
    yield rehearsal
    rehearsal.hosts.close()


def opened(rehearsal: Rehearsal, host: str) -> Host:
    """Not by the state: a test may have deleted it."""
    state = next(h for h in rehearsal.inventory if h.name == host)
    return rehearsal.hosts.open(state)


def seen(rehearsal: Rehearsal, host: str) -> Inventory:
    return observe(opened(rehearsal, host), scope=Scope())


def delete(rehearsal: Rehearsal, host: str, thing: Thing) -> bool:
    return delete_thing(opened(rehearsal, host), thing, scope=Scope())


def test_state_speaks_for_everything_that_up_made(up: Rehearsal) -> None:
    known = known_things(up.state)

    for host in ("host-a", "host-b"):
        for thing in seen(up, host).things:
            assert (host, thing.kind, thing.name) in known


def test_state_speaks_for_a_card_of_its_host(tmp_path: Path) -> None:
    rehearsal = Rehearsal(tmp_path, with_card("br0"))
    rehearsal.up()

    things = seen(rehearsal, "host-a").things

    known = known_things(rehearsal.state)
    assert "eth1" in {thing.name for thing in things}
    assert [t for t in things if ("host-a", t.kind, t.name) not in known] == []
    rehearsal.hosts.close()


def test_everything_can_be_deleted_in_the_order_of_the_kinds(up: Rehearsal) -> None:
    order = list(ThingKind)
    for host in ("host-a", "host-b"):
        things = sorted(seen(up, host).things, key=lambda t: order.index(t.kind))

        gone = [thing.name for thing in things if not delete(up, host, thing)]

        # One end of a pair of devices takes the other one with it.
        assert gone in (["t7vb"], ["t7vn"], []) if host == "host-a" else gone == []
        assert seen(up, host).things == ()
    assert not up.project.directory.exists()


def test_deleting_twice_says_that_it_was_gone(up: Rehearsal) -> None:
    things = [t for t in seen(up, "host-b").things if t.kind is not ThingKind.PORT]
    order = list(ThingKind)
    things.sort(key=lambda thing: order.index(thing.kind))

    assert all(delete(up, "host-b", thing) for thing in things)
    assert not any(delete(up, "host-b", thing) for thing in things)


@pytest.mark.parametrize(
    "kind",
    [ThingKind.DOMAIN, ThingKind.NETWORK, ThingKind.BRIDGE, ThingKind.PORT],
)
def test_thing_with_another_tag_is_left_alone(up: Rehearsal, kind: ThingKind) -> None:
    thing = next(t for t in seen(up, "host-a").things if t.kind is kind)

    with pytest.raises(ForeignThing, match="left alone"):
        delete(up, "host-a", replace(thing, testbed="other"))

    assert thing in seen(up, "host-a").things


@pytest.mark.parametrize("name", ["..", ".", "", "a/b", "UPPER", "/etc"])
def test_folder_with_a_strange_name_is_never_deleted(up: Rehearsal, name: str) -> None:
    thing = Thing(ThingKind.FOLDER, name, name)

    for host in ("host-a", "host-b"):
        with pytest.raises(StateError, match="left alone"):
            delete(up, host, thing)


def test_folder_that_is_not_a_testbeds_stays(up: Rehearsal) -> None:
    notes = up.folder / "testbeds" / "notes"
    notes.mkdir()
    (notes / "important.txt").write_text("x")

    assert not delete(up, "host-a", Thing(ThingKind.FOLDER, "notes", "notes"))

    assert (notes / "important.txt").exists()


def test_device_with_a_foreign_name_stays(up: Rehearsal) -> None:
    veth = "ip link add docker0 type veth peer name docker1"
    opened(up, "host-a").transport.run(command(*veth.split()), scope=Scope())

    with pytest.raises(StateError, match="left alone"):
        delete(up, "host-a", Thing(ThingKind.LINK, "docker0", "demo"))

    assert not delete(up, "host-a", Thing(ThingKind.LINK, "t9vn", ""))
