"""Up of one guest on rehearsed hosts: it alone is made, made anew or set up again."""

from pathlib import Path

import pytest

from orchestration.events import Status
from orchestration.plan.lifecycle import plan_up_guests
from orchestration.plan.model import Kind, Options
from orchestration.providers.libvirt import domains
from tests.orchestration.instructions.rehearsal import Rehearsal, two_guests
from tests.orchestration.state.samples import scaled, spec_of

SCRIPTS = {"setup.sh": "#!/bin/sh\n"}


@pytest.fixture
def pair(tmp_path: Path) -> Rehearsal:
    """Guests `a` and `b`, up, which have run their setup script."""
    spec = two_guests(setup_script="setup.sh")
    rehearsal = Rehearsal(tmp_path, spec, scripts=SCRIPTS)
    rehearsal.up()
    return rehearsal


def up_of(rehearsal: Rehearsal, name: str, **options: bool) -> dict[str, Status]:
    """Bring one guest up; return how each kind of work on guests ended."""
    found = {}
    plan = plan_up_guests(rehearsal.state, Options(**options), [name])
    for instruction in plan.instructions:
        for result in rehearsal.obey(instruction, plan.options):
            assert result.status is not Status.FAILED, result
            if result.name == name:
                found[instruction.kind] = result.status
    return found


def is_running(rehearsal: Rehearsal, name: str, host: str) -> bool:
    conn = rehearsal.hosts.open(rehearsal.state.host(host)).libvirt
    found = domains.find(conn, rehearsal.domain(name))
    return found is not None and found.is_active


def test_guest_that_is_gone_comes_back_as_it_was(pair: Rehearsal) -> None:
    before = pair.state
    conn = pair.hosts.open(pair.state.host("host-b")).libvirt
    domains.destroy(conn, pair.domain("b"))
    domains.undefine(conn, pair.domain("b"))

    done = up_of(pair, "b")

    assert is_running(pair, "b", "host-b")
    assert done[Kind.START_GUESTS] is Status.DONE
    assert done[Kind.CREATE_DISKS] is Status.UNCHANGED
    assert done[Kind.SET_UP_GUESTS] is Status.UNCHANGED
    assert pair.state.guest("a") == before.guest("a")


def test_recreated_guest_has_a_new_disk_and_the_other_keeps_its_own(
    pair: Rehearsal,
) -> None:
    pair.project.mark("a", disk="older")
    pair.project.mark("b", disk="older")

    done = up_of(pair, "a", provision=True)

    assert done[Kind.CREATE_DISKS] is Status.DONE
    assert done[Kind.SET_UP_GUESTS] is Status.DONE
    assert pair.state.guest("a").markers.disk != "older"
    assert pair.state.guest("b").markers.disk == "older"
    assert is_running(pair, "a", "host-a")
    assert is_running(pair, "b", "host-b")


def test_scripts_run_again_in_the_guest_alone(pair: Rehearsal) -> None:
    pair.events.clear()

    done = up_of(pair, "a", rerun_scripts=True)

    assert done[Kind.SET_UP_GUESTS] is Status.DONE
    assert done[Kind.START_GUESTS] is Status.UNCHANGED
    assert pair.lines("b") == []


def test_recreated_clone_leaves_the_other_clones_their_disks(tmp_path: Path) -> None:
    spec = spec_of(scaled("node", ["br0"], ["br0"], shared_setup="setup.sh"))
    rehearsal = Rehearsal(tmp_path, spec, scripts=SCRIPTS)
    rehearsal.up()
    for name in ("node-0", "node-1"):
        rehearsal.project.mark(name, reached="before")

    up_of(rehearsal, "node-0", provision=True)

    marks = {guest.name: guest.markers.reached for guest in rehearsal.state.guests}
    assert marks["node-1"] == "before"
    assert marks["node-0"] not in ("", "before")
