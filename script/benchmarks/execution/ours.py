"""The product's engine as a contestant; see `driver`. Its word: the site's folder.

A turn is the whole instruction as a worker runs it, without the queue and the rows: all
guests' tasks with their events and answers. Copies are tasks of the same engine.
"""

import itertools
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from benchmarks.execution.deployed import AWAY, MAIN, name_of
from benchmarks.execution.driver import Case, serve
from orchestration.engine import Engine, Work, share
from orchestration.events import Event, Status, TaskFinished
from orchestration.hosts import Hosts
from orchestration.plan.execution import Execution, Form
from orchestration.plan.lifecycle import plan_exec
from orchestration.plan.model import Options
from orchestration.project.folder import Project
from orchestration.transport.base import Scope


def project_of(folder: Path, host: str) -> Project:
    """Return the folder of the testbed whose guests are on a host."""
    return Project(folder / f"on-{host}")


class Ours:
    """One engine with its kept connections, as in a worker's process."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._runs = itertools.count(1)
        self._hosts = Hosts(folder / "runtime")

    def cold(self, case: Case) -> float:
        """Log in everywhere and run the command."""
        self.close()
        return self.warm(case)

    def warm(self, case: Case) -> float:
        """Run the command on the kept connections."""
        wanted = Execution(Form.COMMAND, "@all", tuple(case["words"]))
        host = AWAY if case["has_jump"] else MAIN
        count = len(case["addresses"])
        seconds, ends = self.execute(wanted, [name_of(n) for n in range(count)], host)
        lines = {end.answer.lines for end in ends if end.answer}
        if lines != {case["lines"]}:
            raise ValueError(f"{lines} lines of {case['lines']} came")
        return seconds

    def close(self) -> None:
        """Close all connections."""
        self._hosts.close()

    def execute(
        self, wanted: Execution, guests: Sequence[str], host: str
    ) -> tuple[float, list[TaskFinished]]:
        """Do one thing in guests; return its seconds and the ends of its tasks."""
        project, events = project_of(self._folder, host), list[Event]()
        number = next(self._runs)
        state = project.read_state()
        plan = plan_exec(state, wanted, guests)
        work = Work(
            instruction=share(plan.instructions[0], host),
            host=host,
            state=state,
            project=project,
            options=Options(),
            execution=wanted,
            answers=project.answers(number),
            fetched=project.fetched(number),
        )
        scope = Scope(f"bench.r{number}.b1.")
        started = time.perf_counter()
        Engine(self._hosts).run(work, scope=scope, sink=events.append)
        seconds = time.perf_counter() - started
        ends = [event for event in events if isinstance(event, TaskFinished)]
        bad = [end for end in ends if end.status is not Status.DONE]
        if bad or len(ends) != len(guests):
            raise ValueError(f"{len(bad)} of {len(ends)} failed: {bad[:1]}")
        return seconds, ends


if __name__ == "__main__":
    serve(Ours(Path(sys.argv[1])))
