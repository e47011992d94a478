"""Cancel of one instruction: what runs, what waits, what is ended, and under which tag.

Each task's commands carry a tag of its own, so that they can be found and ended.
Rehearsed on simulated hosts.
"""

import threading

import pytest

from orchestration.engine import Engine, Work, share
from orchestration.events import Status, TaskStarted
from orchestration.instructions.task import Outcome, Task, done
from orchestration.plan.model import Instruction, Kind, Options
from orchestration.transport.base import command
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.orchestration.many_resources import RESOURCE_COUNT, obey_with
from tests.waiting import wait_until


def test_cancel_in_the_middle_cancels_what_runs_and_what_waits(
    rehearsal: Rehearsal, many_resources: Instruction, monkeypatch: pytest.MonkeyPatch
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
    results = {r.name: r for r in rehearsal.obey(many_resources)}

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
        wait_until(lambda: rehearsal.memory("host-a")["sleepers"])
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
    rehearsal: Rehearsal, many_resources: Instruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    tags: set[str] = set()

    def action(task: Task) -> Outcome:
        tags.add(task.scope.tag)
        return done()

    obey_with(monkeypatch, action)
    list(rehearsal.obey(many_resources))

    assert tags == {f"{rehearsal.scope.tag}t{n}" for n in range(RESOURCE_COUNT)}
