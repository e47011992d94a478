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
from orchestration.project import Project
from orchestration.state.model import State
from orchestration.transport.base import OnLine, Scope

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
    _progress: tuple[int, int] = field(default=(-1, -1))

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
        """Show how far the task is; equal calls are dropped."""
        if (done, total) == self._progress:
            return
        self._progress = (done, total)
        name, host = self.resource.name, self.resource.host
        self.sink(TaskProgressed(self.index, name, host, done, total, unit, note))


class Action(Protocol):
    """The work of one kind of instruction on one resource."""

    def __call__(self, task: Task) -> Outcome: ...


ActionTable = dict[str, Callable[[Task], Outcome]]
