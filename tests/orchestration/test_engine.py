"""The engine: threads, failures, dead hosts and cancel, rehearsed on simulated hosts."""

import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration import engine
from orchestration.engine import Engine, Work, share
from orchestration.errors import HostUnreachable, StateError
from orchestration.events import Status, TaskFinished, TaskProgressed, TaskStarted
from orchestration.instructions.base import (
    Command,
    Instruction,
    Options,
    Outcome,
    Resource,
    Stage,
    Task,
    done,
)
from orchestration.instructions.kinds import Kind
from orchestration.instructions.table import ACTIONS
from orchestration.providers.libvirt import domains, networks
from orchestration.transport.base import Ended, command
from orchestration.transport.local import LocalTransport
from orchestration.transport.simulated import SimulatedTransport
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.orchestration.state.samples import machine, spec_of

CROWD = 40


@pytest.fixture
def rehearsal(tmp_path: Path) -> Iterator[Rehearsal]:
    rehearsal = Rehearsal(tmp_path)
    yield rehearsal
    rehearsal.hosts.close()


@pytest.fixture
def crowd() -> Instruction:
    """One instruction with many resources, all on main."""
    resources = tuple(Resource(f"r{n}", "host-a", f"r{n}") for n in range(CROWD))
    return Instruction(3, Kind.INIT, Stage.PREPARE, "Begin", resources)


def obey_with(monkeypatch: pytest.MonkeyPatch, action: object) -> None:
    monkeypatch.setitem(ACTIONS, Kind.INIT, action)


def test_every_kind_has_its_action() -> None:
    assert set(ACTIONS) == set(Kind)


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
        assert networks.names(host.libvirt) == ()
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


def test_unforeseen_failure_gets_a_reference_and_no_traceback(
    rehearsal: Rehearsal,
    crowd: Instruction,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def action(task: Task) -> Outcome:
        if task.resource.key == "r7":
            raise ZeroDivisionError("secret plans")
        return done()

    obey_with(monkeypatch, action)
    with caplog.at_level(logging.ERROR, "orchestration.engine"):
        results = list(rehearsal.obey(crowd))

    (bad,) = (r for r in results if r.status is Status.FAILED)
    reference = bad.hint.split()[3]
    assert bad.name == "r7"
    shown = f"{bad.message} {bad.hint} {bad.detail}"
    assert "secret plans" not in shown
    assert "Traceback" not in shown
    assert reference in caplog.text
    assert "secret plans" in caplog.text


def test_missing_host_in_the_state_is_an_unforeseen_failure_of_its_task_only(
    rehearsal: Rehearsal, monkeypatch: pytest.MonkeyPatch
) -> None:
    obey_with(monkeypatch, lambda task: done())
    resources = (Resource("x", "nowhere", "x"),)
    instruction = Instruction(0, Kind.INIT, Stage.PREPARE, "Begin", resources)

    (result,) = rehearsal.obey(instruction)

    assert result.status is Status.FAILED
    assert "reference" in result.hint


def test_siblings_of_a_failed_task_go_on(
    rehearsal: Rehearsal, crowd: Instruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    def action(task: Task) -> Outcome:
        if task.resource.key == "r0":
            raise StateError("It is broken.", hint="Mend it.", detail="the evidence")
        return done("well")

    obey_with(monkeypatch, action)
    results = list(rehearsal.obey(crowd))

    assert [r.name for r in results] == [r.name for r in crowd.resources]
    first, *others = results
    assert (first.status, first.message, first.hint, first.detail) == (
        Status.FAILED,
        "It is broken.",
        "Mend it.",
        "the evidence",
    )
    assert {(r.status, r.message) for r in others} == {(Status.DONE, "well")}


def test_dead_host_fails_its_remaining_tasks_with_the_same_reason(
    rehearsal: Rehearsal, crowd: Instruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def action(task: Task) -> Outcome:
        asked.append(task.resource.key)
        raise HostUnreachable("host-a does not answer.", hint="Look at its power.")

    obey_with(monkeypatch, action)
    results = list(rehearsal.obey(crowd))

    assert {(r.status, r.message, r.hint) for r in results} == {
        (Status.FAILED, "host-a does not answer.", "Look at its power.")
    }
    assert len(asked) <= 16


def test_host_is_asked_again_by_the_next_instruction(
    rehearsal: Rehearsal,
) -> None:
    rehearsal.break_("host-b", {"": {"unreachable": True}})
    instruction = rehearsal.instruction(Kind.CHECK_HOSTS)
    first = {r.name: r.status for r in rehearsal.obey(instruction)}
    rehearsal.break_("host-b", {})

    again = {r.name: r.status for r in rehearsal.obey(instruction)}

    assert first == {"host-a": Status.DONE, "host-b": Status.FAILED}
    assert again == {"host-a": Status.DONE, "host-b": Status.DONE}


def test_lost_guest_does_not_condemn_its_host(tmp_path: Path) -> None:
    script = {"scripts": {"setup.sh": "#!/bin/sh\n"}}
    spec = spec_of(
        *(machine(name, "br0", setup_script="setup.sh") for name in ("a", "b", "c"))
    )
    rehearsal = Rehearsal(tmp_path, spec, **script)
    rehearsal.engine = Engine(rehearsal.hosts, tasks_per_host=1)
    domain = rehearsal.state.guest("a").domain
    rehearsal.break_(domain, {"put /tmp/testbed-a-setup.sh": {"unreachable": True}})

    results = rehearsal.up().of(Kind.SET_UP_GUESTS)

    assert results["a"].status is Status.FAILED
    assert "Guest a on host-a was lost while setup.sh ran" in results["a"].message
    assert (results["b"].status, results["c"].status) == (Status.DONE, Status.DONE)
    rehearsal.hosts.close()


def test_cancel_in_the_middle_cancels_what_runs_and_what_waits(
    rehearsal: Rehearsal, crowd: Instruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    finished = {"r0": threading.Event(), "r1": threading.Event()}

    def action(task: Task) -> Outcome:
        if task.resource.key in finished:
            finished[task.resource.key].set()
            return done()
        for event in finished.values():
            event.wait()
        rehearsal.scope.cancel()
        task.scope.sleep(600)
        return done()

    obey_with(monkeypatch, action)
    rehearsal.engine = Engine(rehearsal.hosts, tasks_per_host=3)
    results = {r.name: r for r in rehearsal.obey(crowd)}

    ended = {name for name, r in results.items() if r.status is Status.DONE}
    assert ended == {"r0", "r1"}
    assert {r.status for r in results.values()} == {Status.DONE, Status.CANCELLED}
    assert results["r39"].message == "Cancelled."


def test_cancel_ends_the_command_that_runs_and_keeps_the_proof(
    rehearsal: Rehearsal,
) -> None:
    rehearsal.break_("host-a", {"ovs-vsctl": {"sleep_s": 600}})

    def cancel_when_it_runs(event: object) -> None:
        if isinstance(event, TaskStarted):
            threading.Thread(target=wait_and_cancel).start()

    def wait_and_cancel() -> None:
        while not rehearsal.memory("host-a")["sleepers"]:
            rehearsal.scope.stop.wait(0.01)
        rehearsal.scope.cancel()

    instruction = share(rehearsal.instruction(Kind.ENSURE_BRIDGES), "host-a")
    work = Work(instruction, "host-a", rehearsal.state, rehearsal.project, Options())
    rehearsal.hosts.open(rehearsal.state.host("host-a")).transport.run(
        command("true"), scope=rehearsal.scope
    )
    (result,) = rehearsal.engine.run(
        work, scope=rehearsal.scope, sink=cancel_when_it_runs
    )

    assert result.status is Status.CANCELLED
    (proof,) = (ended for ended in rehearsal.scope.ended if ended.found)
    assert (proof.machine, proof.survivors) == ("host-a", ())
    assert rehearsal.memory("host-a")["sleepers"] == {}


def test_each_task_has_a_tag_of_its_own_below_the_batch(
    rehearsal: Rehearsal, crowd: Instruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags: set[str] = set()

    def action(task: Task) -> Outcome:
        tags.add(task.scope.tag)
        return done()

    obey_with(monkeypatch, action)
    list(rehearsal.obey(crowd))

    assert tags == {f"{rehearsal.scope.tag}t{n}" for n in range(CROWD)}


def test_no_more_tasks_run_at_once_than_allowed(
    rehearsal: Rehearsal, crowd: Instruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, together = threading.Lock(), threading.Barrier(4)
    running, most = [0], [0]

    def action(task: Task) -> Outcome:
        with lock:
            running[0] += 1
            most[0] = max(most[0], running[0])
        together.wait(30)
        with lock:
            running[0] -= 1
        return done()

    obey_with(monkeypatch, action)
    rehearsal.engine = Engine(rehearsal.hosts, tasks_per_host=4)
    results = list(rehearsal.obey(crowd))

    assert len(results) == CROWD
    assert most[0] == 4


def test_begin_and_end_of_each_task_are_reported(
    rehearsal: Rehearsal, crowd: Instruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    obey_with(monkeypatch, lambda task: done("well"))

    results = list(rehearsal.obey(crowd))

    started = [e for e in rehearsal.events if isinstance(e, TaskStarted)]
    finished = {e.resource: e for e in rehearsal.events if isinstance(e, TaskFinished)}
    assert sorted(e.resource for e in started) == sorted(r.name for r in results)
    for result in results:
        event = finished[result.name]
        assert (event.index, event.host, event.status, event.message) == (
            3,
            "host-a",
            Status.DONE,
            "well",
        )
        assert event.seconds == result.seconds


def test_progress_that_was_held_back_is_told_before_the_end(
    rehearsal: Rehearsal, crowd: Instruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    def action(task: Task) -> Outcome:
        task.progress(0, 900, note="copy")
        task.progress(700, 900, note="copy")
        return done()

    obey_with(monkeypatch, action)
    list(rehearsal.obey(replace(crowd, resources=crowd.resources[:1])))

    told = [type(e) for e in rehearsal.events]
    assert told == [TaskStarted, TaskProgressed, TaskProgressed, TaskFinished]
    assert rehearsal.events[2].done == 700


def test_copy_that_is_silent_is_looked_at_all_the_same(
    rehearsal: Rehearsal, crowd: Instruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = threading.Event()

    def action(task: Task) -> Outcome:
        monkeypatch.setattr(Task, "look_at_progress", lambda task: looked.set())
        assert looked.wait(60)
        return done()

    monkeypatch.setattr(engine, "LOOK_EVERY_S", 0.01)
    obey_with(monkeypatch, action)

    results = rehearsal.obey(replace(crowd, resources=crowd.resources[:1]))

    assert [r.status for r in results] == [Status.DONE]


def test_instruction_without_resources_ends_at_once(rehearsal: Rehearsal) -> None:
    end = rehearsal.instruction(Kind.END)
    work = Work(end, "host-a", rehearsal.state, rehearsal.project, Options())

    results = rehearsal.engine.run(
        work, scope=rehearsal.scope, sink=rehearsal.events.append
    )

    assert (results, rehearsal.events) == ((), [])


@pytest.mark.parametrize("is_good", [True, False])
def test_what_a_script_leaves_in_a_guest_stays_only_if_it_ended_well(
    rehearsal: Rehearsal,
    crowd: Instruction,
    monkeypatch: pytest.MonkeyPatch,
    is_good: bool,
) -> None:
    guest = LocalTransport("guest")
    leave = command("sh", "-c", "sleep 600 > /dev/null 2>&1 &")

    def action(task: Task) -> Outcome:
        guest.run(leave, scope=task.scope)
        return done() if is_good else Outcome(Status.FAILED, "exit code 1")

    obey_with(monkeypatch, action)
    list(rehearsal.obey(replace(crowd, resources=crowd.resources[:1])))
    left = guest.end(rehearsal.scope.tag).found

    assert [process.name for process in left] == ["sleep 600"] * is_good


def test_host_is_asked_once_at_the_end_of_a_batch_that_used_it(
    rehearsal: Rehearsal, crowd: Instruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[str, str]] = []

    def end(self: SimulatedTransport, tag: str, *, grace_s: float = 0.3) -> Ended:
        asked.append((self.machine, tag))
        return Ended(self.machine, (), ())

    def action(task: Task) -> Outcome:
        task.scope.entered.add(task.host.transport)
        return done()

    monkeypatch.setattr(SimulatedTransport, "end", end)
    obey_with(monkeypatch, action)
    list(rehearsal.obey(crowd))

    assert asked == [("host-a", rehearsal.scope.tag)]
