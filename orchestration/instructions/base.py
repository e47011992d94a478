"""The values of a plan, and what an instruction's work may see.

`plan.py` makes `Instruction`s; `engine.py` looks up their `Action` by kind and calls
it once per resource, in threads, with a `Task`. An action obeys: it decides nothing
about order or about other resources, is idempotent, and raises to fail.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Protocol

from orchestration.events import (
    LogLine,
    Sink,
    Status,
    Stream,
    TaskProgressed,
)
from orchestration.hosts import Host, Hosts
from orchestration.instructions.progress import Reading, Reporter
from orchestration.project import Project
from orchestration.state.model import State
from orchestration.transport.base import OnLine, OnProgress, Scope

# Below that a copy is over before anybody looks at it.
LARGE_BYTES = 8 * 1024 * 1024
# design.md 6. A Debian 12 under plain QEMU took 59 s alone on 2 cores.
BOOT_DEADLINE_S = 120.0


class Stage(StrEnum):
    """The groups of the run page, in the order of `up`; then those of `down`."""

    PREPARE = "Prepare"
    CHECK_ARTEFACTS = "Check artefacts"
    CHECK_HOSTS = "Check hosts"
    PREPARE_HOSTS = "Prepare hosts"
    APPLY_CHANGES = "Apply changes"
    NETWORK = "Network"
    GOLDEN_IMAGES = "Golden images"
    LINKED_CLONES = "Linked clones"
    DISTRIBUTE = "Distribute"
    CHANGE_GUESTS = "Change guests"
    START_GUESTS = "Start guests"
    SET_UP_GUESTS = "Set up guests"
    RUN_SCRIPTS = "Run scripts"
    STOP_GUESTS = "Stop guests"
    REMOVE_NETWORK = "Remove network"
    CLEAN_UP = "Clean up"
    FINISH = "Finish"


class Command(StrEnum):
    """What a user asks for."""

    GENERATE_ARTEFACTS = "generate-artefacts"
    CLEAR_ARTEFACTS = "clear-artefacts"
    UP = "up"
    DOWN = "down"


@dataclass(frozen=True, slots=True)
class Resource:
    """One thing that an instruction works on, and the host where it does.

    `name` is what the user calls it and unique within the instruction; `key` is
    what the action looks it up by in the state (a guest, a bridge device, …).
    """

    name: str
    host: str
    key: str


@dataclass(frozen=True, slots=True)
class Instruction:
    """One numbered entry of a plan; all its resources are worked on at once.

    `keep_going`: when some resources fail, the plan goes on (teardown) and the run
    still ends as failed. `of_deployed`: its resources are looked up in everything
    that may exist (`Project.read_known`), not in the wanted state alone.
    """

    index: int
    kind: str
    stage: Stage
    title: str
    resources: tuple[Resource, ...] = ()
    keep_going: bool = False
    of_deployed: bool = False


@dataclass(frozen=True, slots=True)
class Options:
    """The switches of a command."""

    provision: bool = False
    rerun_scripts: bool = False


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended well: `status` is DONE, UNCHANGED or WARNING."""

    status: Status
    message: str = ""
    hint: str = ""
    detail: str = ""


def done(message: str = "") -> Outcome:
    """Say that something was changed."""
    return Outcome(Status.DONE, message)


def unchanged(message: str = "") -> Outcome:
    """Say that it was already so."""
    return Outcome(Status.UNCHANGED, message)


@dataclass(slots=True)
class Task:
    """One resource's work: what it may see, and its voice.

    `host` is the resource's host, opened; `hosts` reaches the others and the
    guests. `peers` is the number of tasks that run on this host at the same time
    in this instruction, for deadlines that grow with company: a guest may take
    `boot_deadline_s` and something for each of them.
    """

    index: int
    resource: Resource
    state: State
    project: Project
    options: Options
    host: Host
    hosts: Hosts
    scope: Scope
    sink: Sink
    peers: int = 1
    boot_deadline_s: float = BOOT_DEADLINE_S
    _reporter: Reporter = field(init=False)

    def __post_init__(self) -> None:
        self._reporter = Reporter(self._tell)

    def log(self, text: str, stream: Stream = Stream.INFO) -> None:
        """Show a line to the user."""
        name, host = self.resource.name, self.resource.host
        self.sink(LogLine(self.index, name, host, stream, text))

    @property
    def on_line(self) -> OnLine:
        """A callback for `Transport.run` that shows each line to the user."""
        return lambda stream, text: self.log(text, stream)

    def progress(
        self, done: int, total: int, *, unit: str = "B", note: str = ""
    ) -> None:
        """Show how far the task is, however often it is said.

        `note` names the work: another note is another piece of work. Bytes get a rate
        and a remaining time.
        """
        self._reporter.report(done, total, unit=unit, note=note)

    def on_progress(self, note: str) -> OnProgress:
        """Return a callback that shows how many bytes of this work are done."""
        return lambda done, total: self.progress(done, total, note=note)

    def on_large(self, size_bytes: int, note: str) -> OnProgress | None:
        """Return the same for a copy that takes its time; None for a small one."""
        return self.on_progress(note) if size_bytes >= LARGE_BYTES else None

    def look_at_progress(self) -> None:
        """Show what has changed by itself; the engine asks each second."""
        self._reporter.look_again()

    def end_progress(self) -> None:
        """Show how far the task came; nothing is shown after that."""
        self._reporter.close()

    def _tell(self, at: Reading) -> None:
        self.sink(
            TaskProgressed(
                self.index,
                self.resource.name,
                self.resource.host,
                at.done,
                at.total,
                at.unit,
                at.note,
                at.rate,
                at.left_s,
            )
        )


class Action(Protocol):
    """The work of one kind of instruction on one resource."""

    def __call__(self, task: Task) -> Outcome: ...


ActionTable = dict[str, Callable[[Task], Outcome]]
