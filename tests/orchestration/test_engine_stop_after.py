"""After enough failures no further guest of an execution begins, on any host."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from orchestration.engine import Engine, ResourceResult, Work
from orchestration.errors import CommandFailed
from orchestration.events import Status, discard
from orchestration.instructions.execution.failure_limit import FILE_NAME
from orchestration.instructions.table import ACTIONS
from orchestration.instructions.task import Outcome, Task, done
from orchestration.plan.execution import Conditions, Execution, Form
from orchestration.plan.model import Instruction, Kind, Options, Resource, Stage
from orchestration.transport.base import Scope
from tests.orchestration.instructions.rehearsal import Rehearsal

GUESTS = ("g0", "g1", "g2", "g3", "g4", "g5")


def fail_on(monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
    def action(task: Task) -> Outcome:
        if task.resource.key in names:
            raise CommandFailed("It failed.", exit_code=1)
        return done()

    monkeypatch.setitem(ACTIONS, Kind.RUN_PROGRAM, action)


def execute(
    rehearsal: Rehearsal,
    answers: Path,
    names: Sequence[str],
    *,
    host: str = "host-a",
    stop_after: int = 2,
) -> tuple[ResourceResult, ...]:
    """Run the guests of one batch, one after the other, as a process would."""
    resources = tuple(Resource(name, host, name) for name in names)
    work = Work(
        Instruction(0, Kind.RUN_PROGRAM, Stage.EXECUTE, "x", resources),
        host,
        rehearsal.state,
        rehearsal.project,
        Options(),
        execution=Execution(
            Form.COMMAND,
            "@all",
            ("true",),
            conditions=Conditions(parallel=1, stop_after=stop_after),
        ),
        answers=answers,
    )
    engine = Engine(rehearsal.hosts)
    return engine.run(work, scope=Scope("demo.r1.b1."), sink=discard)


def test_no_guest_begins_after_enough_failures(
    rehearsal: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_on(monkeypatch, "g1", "g3")

    results = execute(rehearsal, tmp_path / "answers" / "7", GUESTS)

    assert [result.status for result in results] == [
        *(Status.DONE, Status.FAILED, Status.DONE, Status.FAILED),
        *(Status.SKIPPED, Status.SKIPPED),
    ]
    assert results[-1].message == "not begun: 2 guests had failed before"


def test_failures_of_all_hosts_of_the_run_count_together(
    rehearsal: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_on(monkeypatch, "g0", "g2")
    answers = tmp_path / "answers" / "7"

    execute(rehearsal, answers, ("g0", "g1"))
    results = execute(rehearsal, answers, ("g2", "g3"), host="host-b")

    assert [result.status for result in results] == [Status.FAILED, Status.SKIPPED]


def test_failures_of_another_run_do_not_count(
    rehearsal: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_on(monkeypatch, "g0", "g1")

    execute(rehearsal, tmp_path / "answers" / "7", ("g0", "g1"))
    results = execute(rehearsal, tmp_path / "answers" / "8", ("g2", "g3"))

    assert {result.status for result in results} == {Status.DONE}


def test_without_a_limit_every_guest_begins_and_nothing_is_kept(
    rehearsal: Rehearsal, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_on(monkeypatch, *GUESTS)
    answers = tmp_path / "answers" / "7"

    results = execute(rehearsal, answers, GUESTS, stop_after=0)

    assert {result.status for result in results} == {Status.FAILED}
    assert not (answers / FILE_NAME).exists()
