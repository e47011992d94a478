"""The engine: every resource has its task, failures and dead hosts stay where they are.

Rehearsed on simulated hosts. Whole runs are in test_up_and_down.py, cancel in
test_engine_cancel.py, what is told meanwhile in test_engine_progress.py.
"""

import logging
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.engine import Engine, Work
from orchestration.errors import HostUnreachable, StateError
from orchestration.events import Status, TaskFinished
from orchestration.instructions.bounded_log import LAST_LINES, LINE_BYTES
from orchestration.instructions.table import ACTIONS
from orchestration.instructions.task import Outcome, Task, done
from orchestration.plan.model import Instruction, Kind, Options, Resource, Stage
from orchestration.transport.base import Ended, command
from orchestration.transport.local import LocalTransport
from orchestration.transport.simulated.transport import SimulatedTransport
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.orchestration.many_resources import RESOURCE_COUNT, obey_with
from tests.orchestration.state.samples import machine, spec_of


def test_every_kind_has_its_action() -> None:
    assert set(ACTIONS) == set(Kind)


def test_unforeseen_failure_gets_a_reference_and_no_traceback(
    rehearsal: Rehearsal,
    many_resources: Instruction,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def action(task: Task) -> Outcome:
        if task.resource.key == "r7":
            raise ZeroDivisionError("secret plans")
        return done()

    obey_with(monkeypatch, action)
    with caplog.at_level(logging.ERROR, "orchestration.engine"):
        results = list(rehearsal.obey(many_resources))

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
    rehearsal: Rehearsal, many_resources: Instruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    def action(task: Task) -> Outcome:
        if task.resource.key == "r0":
            raise StateError("It is broken.", hint="Mend it.", detail="the evidence")
        return done("well")

    obey_with(monkeypatch, action)
    results = list(rehearsal.obey(many_resources))

    assert [r.name for r in results] == [r.name for r in many_resources.resources]
    first, *others = results
    assert (first.status, first.message, first.hint, first.detail) == (
        Status.FAILED,
        "It is broken.",
        "Mend it.",
        "the evidence",
    )
    assert {(r.status, r.message) for r in others} == {(Status.DONE, "well")}


def test_dead_host_fails_its_remaining_tasks_with_the_same_reason(
    rehearsal: Rehearsal, many_resources: Instruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def action(task: Task) -> Outcome:
        asked.append(task.resource.key)
        raise HostUnreachable("host-a does not answer.", hint="Look at its power.")

    obey_with(monkeypatch, action)
    results = list(rehearsal.obey(many_resources))

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


def test_no_more_tasks_run_at_once_than_allowed(
    rehearsal: Rehearsal, many_resources: Instruction, monkeypatch: pytest.MonkeyPatch
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
    results = list(rehearsal.obey(many_resources))

    assert len(results) == RESOURCE_COUNT
    assert most[0] == 4


def test_loud_command_goes_on_and_its_log_says_how_much_was_cut(
    rehearsal: Rehearsal, many_resources: Instruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    guest = LocalTransport("guest")
    count = command("sh", "-c", "seq 5000; echo it ends")

    def action(task: Task) -> Outcome:
        guest.run(count, scope=task.scope, on_line=task.on_line)
        return done()

    obey_with(monkeypatch, action)
    rehearsal.engine = Engine(rehearsal.hosts, log_bytes=1000 * LINE_BYTES)
    loud = replace(many_resources, resources=many_resources.resources[:1])
    (result,) = rehearsal.obey(loud)

    lines = rehearsal.lines(loud.resources[0].name)
    assert result.status is Status.DONE
    assert lines[0] == "1"
    assert len(lines) < 1000 + LAST_LINES
    assert sum(line.startswith("Cut here: ") for line in lines) == 1
    assert lines[-1] == "it ends"
    assert isinstance(rehearsal.events[-1], TaskFinished)


def test_instruction_without_resources_ends_at_once(rehearsal: Rehearsal) -> None:
    end = rehearsal.instruction(Kind.END)
    work = Work(end, "host-a", rehearsal.state, rehearsal.project, Options())

    results = rehearsal.engine.run(
        work, scope=rehearsal.scope, sink=rehearsal.events.append
    )

    assert (results, rehearsal.events) == ((), [])


@pytest.mark.parametrize("is_good", [True, False])
def test_processes_of_a_script_stay_in_a_guest_only_if_it_ended_well(
    rehearsal: Rehearsal,
    many_resources: Instruction,
    monkeypatch: pytest.MonkeyPatch,
    is_good: bool,
) -> None:
    guest = LocalTransport("guest")
    leave = command("sh", "-c", "sleep 600 > /dev/null 2>&1 &")

    def action(task: Task) -> Outcome:
        guest.run(leave, scope=task.scope)
        return done() if is_good else Outcome(Status.FAILED, "exit code 1")

    obey_with(monkeypatch, action)
    list(
        rehearsal.obey(replace(many_resources, resources=many_resources.resources[:1]))
    )
    left = guest.end(rehearsal.scope.tag).found

    assert [process.name for process in left] == ["sleep 600"] * is_good


def test_host_is_asked_once_at_the_end_of_a_batch_that_used_it(
    rehearsal: Rehearsal, many_resources: Instruction, monkeypatch: pytest.MonkeyPatch
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
    list(rehearsal.obey(many_resources))

    assert asked == [("host-a", rehearsal.scope.tag)]
