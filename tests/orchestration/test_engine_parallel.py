"""So many guests of an execution as its user said are at work, on all hosts together."""

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from orchestration.engine import Engine, ResourceResult, Work
from orchestration.events import Status, discard
from orchestration.instructions.table import ACTIONS
from orchestration.instructions.task import Outcome, Task, done
from orchestration.plan.execution import Conditions, Execution, Form
from orchestration.plan.model import Instruction, Kind, Options, Resource, Stage
from orchestration.transport.base import Scope
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.waiting import wait_until

HOSTS = ("host-a", "host-b")
GUESTS = tuple(f"g{number}" for number in range(6))
WAIT_S = 30


class AtWork:
    """Tasks that stay at work until they are let go, and how many were at once."""

    def __init__(self) -> None:
        self.may_end = threading.Event()
        self.most = self._now = 0
        self._lock = threading.Lock()

    @property
    def now(self) -> int:
        return self._now

    def act(self, task: Task) -> Outcome:
        with self._lock:
            self._now += 1
            self.most = max(self.most, self._now)
        assert self.may_end.wait(WAIT_S)
        with self._lock:
            self._now -= 1
        return done()


@pytest.fixture
def at_work(monkeypatch: pytest.MonkeyPatch) -> AtWork:
    found = AtWork()
    monkeypatch.setitem(ACTIONS, Kind.RUN_PROGRAM, found.act)
    return found


def work_on(rehearsal: Rehearsal, answers: Path, host: str, parallel: int) -> Work:
    resources = tuple(Resource(name, host, name) for name in GUESTS)
    return Work(
        Instruction(0, Kind.RUN_PROGRAM, Stage.EXECUTE, "x", resources),
        host,
        rehearsal.state,
        rehearsal.project,
        Options(),
        execution=Execution(
            Form.COMMAND, "@all", ("true",), conditions=Conditions(parallel=parallel)
        ),
        answers=answers,
    )


def statuses(results: tuple[ResourceResult, ...]) -> set[Status]:
    return {result.status for result in results}


def test_guests_at_once_are_counted_over_all_hosts(
    rehearsal: Rehearsal, tmp_path: Path, at_work: AtWork
) -> None:
    def batch(host: str) -> tuple[ResourceResult, ...]:
        work = work_on(rehearsal, tmp_path / "answers" / "7", host, 3)
        engine = Engine(rehearsal.hosts)
        return engine.run(work, scope=Scope(f"demo.r1.{host}."), sink=discard)

    with ThreadPoolExecutor() as pool:
        batches = [pool.submit(batch, host) for host in HOSTS]
        wait_until(lambda: at_work.now == 3)
        at_work.may_end.set()
        ends = [statuses(found.result(WAIT_S)) for found in batches]

    assert at_work.most == 3
    assert ends == [{Status.DONE}, {Status.DONE}]


def test_guest_without_a_place_waits_and_is_not_begun_after_a_cancel(
    rehearsal: Rehearsal, tmp_path: Path, at_work: AtWork
) -> None:
    scope = Scope("demo.r1.b1.")
    work = work_on(rehearsal, tmp_path / "answers" / "7", HOSTS[0], 2)
    other = work_on(rehearsal, tmp_path / "answers" / "7", HOSTS[1], 2)
    engine = Engine(rehearsal.hosts)
    with ThreadPoolExecutor() as pool:
        first = pool.submit(engine.run, work, scope=Scope("demo.r1.b2."), sink=discard)
        wait_until(lambda: at_work.now == 2)
        second = pool.submit(engine.run, other, scope=scope, sink=discard)
        scope.cancel()
        found = statuses(second.result(WAIT_S))
        at_work.may_end.set()
        first.result(WAIT_S)

    assert found == {Status.CANCELLED}
    assert at_work.most == 2
