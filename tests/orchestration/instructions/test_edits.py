"""Edited testbeds: what goes, what restarts, what is not touched, what is known."""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from orchestration.compose.language.schema import Spec
from orchestration.events import Status
from orchestration.instructions.storage.disks import delete_disks
from orchestration.instructions.task import Task
from orchestration.plan.model import Kind
from orchestration.providers.libvirt import domains
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.orchestration.state.samples import machine, spec_of

MakeTask = Callable[..., Task]


def guests(*names: str, bridges: Sequence[str] = ("br0",), **image: object) -> Spec:
    """Guests that are all on main."""
    machines = [machine(name, "br0", **image) for name in names]
    return spec_of(*machines, bridges=bridges, joined=dict.fromkeys(bridges[1:], "br0"))


@pytest.fixture
def edited(tmp_path: Path) -> Iterator[Rehearsal]:
    """Two guests on one host, up."""
    rehearsal = Rehearsal(tmp_path, guests("web", "db"))
    assert not rehearsal.up().failed()
    yield rehearsal
    rehearsal.hosts.close()


def running(rehearsal: Rehearsal) -> dict[str, tuple[str, str]]:
    """Each domain on main with its state and the digest of its settings."""
    host = rehearsal.hosts.open(rehearsal.inventory[0])
    found = domains.observe(host.libvirt)
    return {d.guest: (d.status, d.spec_hash) for d in found}


def bridges(rehearsal: Rehearsal) -> str:
    return json.dumps(rehearsal.memory("host-a"))


def test_only_what_changed_is_touched(edited: Rehearsal) -> None:
    before = running(edited)
    marks = edited.state.guest("db").markers
    state = edited.edit(
        spec_of(
            machine("web", "br0", environment={"MODE": "fast"}),
            machine("db", "br0"),
            machine("new", "br0"),
        )
    )

    outcomes = edited.up()

    assert not outcomes.failed()
    assert outcomes.of(Kind.STOP_CHANGED_GUESTS).keys() == {"web"}
    started = {n: r.status for n, r in outcomes.of(Kind.START_GUESTS).items()}
    assert started == {
        "web": Status.DONE,
        "db": Status.UNCHANGED,
        "new": Status.DONE,
    }
    after = running(edited)
    assert after["db"] == before["db"]
    assert after["web"][1] == state.guest("web").spec_hash != before["web"][1]
    assert edited.state.guest("db").markers == marks
    assert not edited.project.has_unfinished_change()
    again = edited.up()
    assert Kind.STOP_CHANGED_GUESTS not in again.kinds
    assert {r.status for r in again.of(Kind.START_GUESTS).values()} == {
        Status.UNCHANGED
    }


def test_renamed_guest_goes_with_its_disk(edited: Rehearsal) -> None:
    disk = edited.state.guest("db").disk
    edited.edit(guests("web", "store"))

    outcomes = edited.up()

    assert not outcomes.failed()
    assert running(edited).keys() == {"web", "store"}
    assert outcomes.of(Kind.DELETE_DISKS)["db"].status is Status.DONE
    assert any(c.startswith("rm -f") and disk in c for c in edited.asked("host-a"))


def test_bridge_and_link_that_are_gone_are_removed(edited: Rehearsal) -> None:
    edited.edit(guests("web", "db", bridges=("br0", "br1")))
    made = edited.up()
    device = next(b for b in edited.state.network.bridges if b.name == "br1").device
    was_there = device in bridges(edited) or device in json.dumps(
        edited.memory("host-b")
    )
    edited.edit(guests("web", "db"))

    outcomes = edited.up()

    assert not made.failed()
    assert was_there
    assert not outcomes.failed()
    assert outcomes.of(Kind.DELETE_BRIDGES).keys() == {"br1"}
    assert outcomes.of(Kind.DELETE_LINKS)
    assert device not in bridges(edited)
    assert {r.status for r in outcomes.of(Kind.START_GUESTS).values()} == {
        Status.UNCHANGED
    }


def test_other_image_makes_the_disk_anew(edited: Rehearsal) -> None:
    edited.edit(
        spec_of(machine("web", "br0", name="ubuntu_22_04"), machine("db", "br0"))
    )

    outcomes = edited.up()

    assert not outcomes.failed()
    assert outcomes.of(Kind.DELETE_DISKS).keys() == {"web"}
    assert outcomes.of(Kind.CREATE_DISKS)["web"].status is Status.DONE
    assert edited.state.guest("web").markers.disk.startswith("ubuntu_22_04")
    assert outcomes.of(Kind.CREATE_DISKS)["db"].status is Status.UNCHANGED


def test_change_that_failed_is_gone_on_with(edited: Rehearsal) -> None:
    edited.edit(guests("web", "store"))
    edited.break_("host-a", {"rm -f": {"exit_code": 1, "stderr": "no"}})
    failed = edited.up()
    assert failed.failed().keys() == {"db"}
    assert edited.project.has_unfinished_change()
    edited.break_("host-a", {})
    edited.edit(guests("web", "shop"))

    outcomes = edited.up()

    assert not outcomes.failed()
    assert outcomes.of(Kind.DELETE_DISKS).keys() == {"db", "store"}
    assert running(edited).keys() == {"web", "shop"}
    assert not edited.project.has_unfinished_change()


def test_down_takes_down_what_an_unfinished_change_left(edited: Rehearsal) -> None:
    edited.edit(guests("web", "store"))

    outcomes = edited.down()

    assert not outcomes.failed()
    assert outcomes.of(Kind.STOP_GUESTS)["db"].status is Status.DONE
    assert running(edited) == {}
    assert edited.project.has_unfinished_change()
    assert edited.up().of(Kind.DELETE_DISKS)["db"].status is Status.DONE


def test_guest_that_has_the_wanted_settings_already_runs_on(edited: Rehearsal) -> None:
    state = edited.edit(spec_of(machine("web", "br0"), machine("db", "br0")))
    known = state.model_copy(
        update={
            "guests": tuple(
                g.model_copy(update={"spec_hash": "older"}) for g in state.guests
            )
        }
    )
    edited.project.write_change(known, state)

    outcomes = edited.up()

    assert {
        (r.status, r.message) for r in outcomes.of(Kind.STOP_CHANGED_GUESTS).values()
    } == {(Status.UNCHANGED, "has the wanted settings already")}


def test_disk_outside_the_artefacts_is_never_deleted(
    rehearsal: Rehearsal, make_task: MakeTask
) -> None:
    state = rehearsal.state
    guest = state.guest("a").model_copy(update={"disk": "/home/user/precious.qcow2"})
    rehearsal.project.write_state(
        state.model_copy(update={"guests": (guest, *state.guests[1:])})
    )

    outcome = delete_disks(make_task("a"))

    assert outcome.status is Status.UNCHANGED
    assert "stays" in outcome.message
    assert not any("precious" in line for line in rehearsal.asked("host-a"))
