"""The engine's reports while tasks run: begin, progress, end, in this order.

Progress that comes too often is held back, a silent copy is looked at all the same.
Rehearsed on simulated hosts.
"""

import threading
from dataclasses import replace

import pytest

from orchestration.events import Status, TaskFinished, TaskProgressed, TaskStarted
from orchestration.instructions.task import Outcome, Task, done
from orchestration.plan.model import Instruction
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.orchestration.many_resources import obey_with


def test_begin_and_end_of_each_task_are_reported(
    rehearsal: Rehearsal, many_resources: Instruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    obey_with(monkeypatch, lambda task: done("well"))

    results = list(rehearsal.obey(many_resources))

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
    rehearsal: Rehearsal, many_resources: Instruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    def action(task: Task) -> Outcome:
        task.progress(0, 900, note="copy")
        task.progress(700, 900, note="copy")
        return done()

    obey_with(monkeypatch, action)
    list(
        rehearsal.obey(replace(many_resources, resources=many_resources.resources[:1]))
    )

    told = [type(e) for e in rehearsal.events]
    assert told == [TaskStarted, TaskProgressed, TaskProgressed, TaskFinished]
    assert rehearsal.events[2].done == 700


def test_copy_that_is_silent_is_looked_at_all_the_same(
    rehearsal: Rehearsal, many_resources: Instruction, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = threading.Event()

    def action(task: Task) -> Outcome:
        monkeypatch.setattr(Task, "look_at_progress", lambda task: looked.set())
        assert looked.wait(60)
        return done()

    obey_with(monkeypatch, action)

    results = rehearsal.obey(
        replace(many_resources, resources=many_resources.resources[:1])
    )

    assert [r.status for r in results] == [Status.DONE]
