"""Run one instruction's share on one host: threads, results, cancel.

Called by a Celery batch or by the command line with a `Work`; reports to a sink and
returns one result per resource. When a task fails, its siblings still finish. The next
instruction is decided by `plan/lifecycle.py`, not here.
"""

import logging
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Event as Flag
from typing import NamedTuple

from orchestration.errors import Cancelled, HostUnreachable, TestbedError
from orchestration.events import SUCCESSFUL, Sink, Status, TaskFinished, TaskStarted
from orchestration.hosts import Hosts
from orchestration.instructions.boot.limits import USUAL, BootLimits
from orchestration.instructions.bounded_log import DEFAULT_BYTES
from orchestration.instructions.execution.failure_limit import FailureLimit
from orchestration.instructions.execution.places import Places
from orchestration.instructions.table import ACTIONS
from orchestration.instructions.task import Outcome, Task
from orchestration.plan.execution import Conditions, Execution
from orchestration.plan.images import ImageWish
from orchestration.plan.model import Instruction, Options, Resource
from orchestration.plan.snapshots import SnapshotWish
from orchestration.project.fetched import Quota
from orchestration.project.folder import Project
from orchestration.providers.linux.ruleset import Policy, policy_of
from orchestration.state.model import State
from orchestration.transport.base import Scope
from orchestration.transport.processes.leftovers import end_left, words_of
from orchestration.transport.reachable import require_answer

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 1.0
EXECUTIONS_AT_ONCE = 128


@dataclass(frozen=True, slots=True)
class Work:
    """One instruction's share on one host; `instruction` holds only its resources.

    Without a `policy`, firewalls know only the state's hosts. `execution` is what an
    instruction of `exec` does; the guests' answers become files of the folder `answers`,
    and what they send a folder each in `fetched`. Guests that are set up accept the
    `user_keys`; None leaves those that they have. `snapshot` is the act of a `snapshot`,
    `image` that of a `save-image`.
    """

    instruction: Instruction
    host: str
    state: State
    project: Project
    options: Options
    policy: Policy | None = None
    execution: Execution | None = None
    answers: Path | None = None
    fetched: Path | None = None
    user_keys: tuple[str, ...] | None = None
    snapshot: SnapshotWish | None = None
    image: ImageWish | None = None


@dataclass(frozen=True, slots=True)
class ResourceResult:
    """The result of one resource's task; texts as in errors, `seconds` of wall time."""

    name: str
    host: str
    status: Status
    message: str = ""
    hint: str = ""
    detail: str = ""
    seconds: float = 0.0


class _Limits(NamedTuple):
    """The limits of each task: see `Task`."""

    boot: BootLimits
    log_bytes: int
    quota: Quota


class Engine:
    """Runs instructions on kept connections, `tasks_per_host` tasks at once.

    `log_bytes` bounds the output of each task in the log, `quota` what a testbed
    fetches from its guests.
    """

    def __init__(
        self,
        hosts: Hosts,
        *,
        tasks_per_host: int = 16,
        boot: BootLimits = USUAL,
        log_bytes: int = DEFAULT_BYTES,
        quota: Quota | None = None,
    ) -> None:
        self._hosts = hosts
        self._tasks_per_host = tasks_per_host
        self._limits = _Limits(boot, log_bytes, quota or Quota())

    def run(
        self, work: Work, *, scope: Scope, sink: Sink
    ) -> tuple[ResourceResult, ...]:
        """Run all resources' tasks and return when every one has ended.

        Never raises for a task's failure. After `scope.cancel()` every task ends as
        soon as its processes are proven gone; the proofs are in `scope.ended`.
        """
        resources = work.instruction.resources
        batch = _Batch(work, self._hosts, scope, sink, self._limits)
        if work.instruction.keep_going:
            batch.look_for_host()
        workers = max(1, min(len(resources), self._at_once(work)))
        with (
            batch.watched(),
            ThreadPoolExecutor(workers, thread_name_prefix="task") as pool,
        ):
            results = tuple(pool.map(batch.run_task, range(len(resources)), resources))
        if not scope.stop.is_set():  # cancel checks the whole run again
            end_left(scope, scope.entered)
        return results

    def _at_once(self, work: Work) -> int:
        """Return how many tasks run at once; a program in a guest waits most of its time."""
        if work.execution is None:
            return self._tasks_per_host
        wanted = work.execution.conditions.parallel or EXECUTIONS_AT_ONCE
        return min(wanted, EXECUTIONS_AT_ONCE)


class _Batch:
    """The shared data of the tasks of one call, with a flag that the host is dead."""

    def __init__(
        self, work: Work, hosts: Hosts, scope: Scope, sink: Sink, limits: _Limits
    ) -> None:
        self._limits = limits
        self._work = work
        self._hosts = hosts
        self._scope = scope
        self._sink = sink
        self._dead = Flag()
        self._tasks: dict[str, Task] = {}
        conditions = work.execution.conditions if work.execution else Conditions()
        self._failures = FailureLimit(work.answers, conditions.stop_after)
        self._places = Places(work.answers, conditions.parallel)
        self._reason = HostUnreachable(f"Host {work.host} does not answer.")

    def look_for_host(self) -> None:
        """Make all tasks fail at once when the host is dead.

        For teardown, which goes on without the host: otherwise each of its instructions
        would wait for the same dead host again.
        """
        try:
            host = self._hosts.open(self._work.state.host(self._work.host))
            require_answer(host.transport)
        except HostUnreachable as exc:
            self._reason = exc
            self._dead.set()

    @contextmanager
    def watched(self) -> Iterator[None]:
        """Check the progress of all tasks each second, to report stalled ones, too."""
        over = Flag()

        def watch() -> None:
            while not over.wait(LOOK_EVERY_S):
                for task in list(self._tasks.values()):
                    task.look_at_progress()

        watcher = threading.Thread(target=watch, name="progress", daemon=True)
        watcher.start()
        try:
            yield
        finally:
            over.set()
            watcher.join()

    def run_task(self, number: int, resource: Resource) -> ResourceResult:
        """Run one task, when it has its place, and report its start and end."""
        with self._places.one(self._scope.stop):
            return self._run_task(number, resource)

    def _run_task(self, number: int, resource: Resource) -> ResourceResult:
        index = self._work.instruction.index
        started = time.monotonic()
        scope = Scope(f"{self._scope.tag}t{number}", stop=self._scope.stop)
        self._sink(TaskStarted(index, resource.name, resource.host))
        outcome = self._attempt(resource, scope)
        self._end_left(scope, outcome)
        if outcome.status is Status.FAILED:
            self._failures.add()
        if outcome.status is Status.CANCELLED:
            words = f"{outcome.message} {words_of(scope.ended)}"
            outcome = replace(outcome, message=words.strip())
        self._scope.ended.extend(scope.ended)
        result = ResourceResult(
            resource.name,
            resource.host,
            outcome.status,
            outcome.message,
            outcome.hint,
            outcome.detail,
            round(time.monotonic() - started, 3),
        )
        self._sink(
            TaskFinished(
                index,
                result.name,
                result.host,
                result.status,
                result.message,
                result.hint,
                result.detail,
                result.seconds,
                outcome.answer,
                outcome.found,
            )
        )
        return result

    def _end_left(self, scope: Scope, outcome: Outcome) -> None:
        """End an unsuccessful task's leftovers in guests; the host comes later.

        A successful script's remaining processes are wanted, such as a server.
        """
        if not scope.entered:
            return
        host = self._hosts.open(self._work.state.host(self._work.host)).transport
        self._scope.entered |= scope.entered & {host}
        if outcome.status in SUCCESSFUL:
            return
        asked: set[str] = set()
        if outcome.status is Status.CANCELLED:  # nothing started after that
            asked = {proof.machine for proof in scope.ended}
        left = {m for m in scope.entered - {host} if m.machine not in asked}
        end_left(scope, left)

    def _attempt(self, resource: Resource, scope: Scope) -> Outcome:
        try:
            scope.check_cancelled()
            if self._failures.is_reached:
                return Outcome(Status.SKIPPED, self._failures.reason)
            if self._dead.is_set():
                raise self._reason
            task = self._tasks[scope.tag] = self._task(resource, scope)
            try:
                return ACTIONS[self._work.instruction.kind](task)
            finally:
                task.close()
                del self._tasks[scope.tag]
        except Cancelled as exc:
            return Outcome(Status.CANCELLED, exc.message)
        except HostUnreachable as exc:
            self._reason = exc
            self._dead.set()
            return _failed(exc)
        except TestbedError as exc:
            return _failed(exc)
        except Exception:  # the task border: no task may end others
            reference = uuid.uuid4().hex[:8]
            logger.exception("%s failed, reference %s", resource, reference)
            return Outcome(
                Status.FAILED,
                f"{resource.name} failed for a reason that we did not foresee.",
                f"Give the reference {reference} to your administrator.",
            )

    def _task(self, resource: Resource, scope: Scope) -> Task:
        work = self._work
        return Task(
            index=work.instruction.index,
            resource=resource,
            state=work.state,
            project=work.project,
            options=work.options,
            host=self._hosts.open(work.state.host(resource.host)),
            hosts=self._hosts,
            scope=scope,
            sink=self._sink,
            peers=len(work.instruction.resources),
            boot=self._limits.boot,
            log_bytes=self._limits.log_bytes,
            policy=work.policy or policy_of(work.state.hosts),
            execution=work.execution,
            answers=work.answers,
            fetched=work.fetched,
            user_keys=work.user_keys,
            snapshot=work.snapshot,
            image=work.image,
            quota=self._limits.quota,
        )


def state_for(instruction: Instruction, project: Project) -> State:
    """Return the state that has an instruction's resources."""
    return project.read_known() if instruction.of_deployed else project.read_state()


def share(instruction: Instruction, host: str) -> Instruction:
    """Return the instruction with only the resources of one host."""
    mine = tuple(r for r in instruction.resources if r.host == host)
    return replace(instruction, resources=mine)


def _failed(error: TestbedError) -> Outcome:
    return Outcome(Status.FAILED, error.message, error.hint, error.detail)
