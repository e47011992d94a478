"""Whole runs from first to last instruction: up, down, clear, and up after a fault.

Rehearsed on simulated hosts: what is there afterwards, and what a second run changes.
How the engine treats one instruction is in test_engine.py.
"""

from orchestration.events import Status
from orchestration.plan.model import Command, Kind
from orchestration.providers.libvirt import domains, networks
from tests.orchestration.instructions.rehearsal import Rehearsal


def test_up_does_everything_and_the_second_up_changes_nothing(
    rehearsal: Rehearsal,
) -> None:
    first = rehearsal.up()
    again = rehearsal.up()

    assert first.failed() == {}
    assert first.kinds[-1] == Kind.END
    assert {r.status for r in first.of(Kind.START_GUESTS).values()} == {Status.DONE}
    assert again.kinds == first.kinds
    looks = {Kind.INIT, Kind.CHECK_ARTEFACTS, Kind.CHECK_HOSTS}
    changing = [r for kind, r in again.results if kind not in looks]
    assert {r.status for r in changing} == {Status.UNCHANGED}


def test_guests_run_on_their_hosts_after_up(rehearsal: Rehearsal) -> None:
    rehearsal.up()

    for name, guest in (("host-a", "a"), ("host-b", "b")):
        host = rehearsal.hosts.open(rehearsal.state.host(name))
        (found,) = domains.observe(host.libvirt)
        assert (found.testbed, found.guest, found.status) == ("demo", guest, "running")


def test_down_leaves_nothing_but_the_disks(rehearsal: Rehearsal) -> None:
    rehearsal.up()

    outcomes = rehearsal.down()

    assert outcomes.failed() == {}
    assert [r.message for r in outcomes.of(Kind.CLEAN_HOSTS).values()] == [
        "nothing is left",
        "nothing is left",
    ]
    for name in ("host-a", "host-b"):
        host = rehearsal.hosts.open(rehearsal.state.host(name))
        assert domains.observe(host.libvirt) == ()
        assert networks.observe(host.libvirt) == ()
        memory = rehearsal.memory(name)
        assert (memory["bridges"], memory["ports"], memory["links"]) == ({}, {}, {})
    disks = {guest.host: guest.disk for guest in rehearsal.state.guests}
    assert disks["host-b"] in rehearsal.memory("host-b")["files"]


def test_second_down_changes_nothing(rehearsal: Rehearsal) -> None:
    rehearsal.up()
    rehearsal.down()

    again = rehearsal.down()

    changing = [r for kind, r in again.results if kind != Kind.INIT]
    assert {r.status for r in changing} == {Status.UNCHANGED}


def test_clear_artefacts_leaves_only_the_users_files_and_keys(
    rehearsal: Rehearsal,
) -> None:
    (rehearsal.project.files / "notes.txt").write_text("mine")
    rehearsal.up()

    outcomes = rehearsal.run(Command.CLEAR_ARTEFACTS)

    assert outcomes.failed() == {}
    assert not rehearsal.project.has_state()
    assert list(rehearsal.project.artefacts.iterdir()) == []
    assert (rehearsal.project.files / "notes.txt").read_text() == "mine"
    assert rehearsal.project.identity_file.exists()
    files = rehearsal.memory("host-b")["files"]
    assert [f for f in files if f.startswith("/srv/projects/demo")] == []


def test_fault_on_one_host_fails_only_what_is_there(rehearsal: Rehearsal) -> None:
    refusal = {"exit_code": 1, "stderr": "ovs-vsctl: no room"}
    rehearsal.break_("host-b", {"ovs-vsctl": refusal})

    results = {
        result.name: result
        for result in rehearsal.obey(rehearsal.instruction(Kind.ENSURE_BRIDGES))
    }

    assert results["br0"].status is Status.DONE
    assert results["br1"].status is Status.FAILED
    assert "host-b" in results["br1"].message
    assert "no room" in results["br1"].detail


def test_up_stops_after_the_failed_instruction_and_down_goes_on(
    rehearsal: Rehearsal,
) -> None:
    rehearsal.up()
    rehearsal.break_("host-b", {"ovs-vsctl": {"exit_code": 1, "stderr": "no"}})

    down = rehearsal.down()
    up = rehearsal.up()

    assert down.kinds[-1] == Kind.END
    assert {r.host for r in down.failed().values()} == {"host-b"}
    assert down.of(Kind.STOP_GUESTS)["b"].status is Status.DONE
    assert down.of(Kind.DELETE_BRIDGES)["br0"].status is Status.DONE
    assert up.kinds[-1] == Kind.CHECK_HOSTS
    assert list(up.failed()) == ["host-b"]


def test_up_goes_on_where_a_mended_fault_stopped_it(rehearsal: Rehearsal) -> None:
    guest = rehearsal.state.guest("b")
    rehearsal.break_("host-b", {"qemu-img create": {"exit_code": 1, "stderr": "bad"}})
    assert list(rehearsal.up().failed()) == ["b"]
    rehearsal.break_("host-b", {})

    outcomes = rehearsal.up()

    assert outcomes.failed() == {}
    assert outcomes.of(Kind.CREATE_DISKS)["a"].status is Status.UNCHANGED
    assert outcomes.of(Kind.CREATE_DISKS)["b"].status is Status.DONE
    assert guest.disk in rehearsal.memory("host-b")["files"]
