"""One resource's work inside an instruction: its inputs, and its outcome.

`engine.py` looks up an instruction's action by its kind and calls it once per
resource, in threads, with a `Task`. An action decides nothing about order or about
other resources, is idempotent, and raises to fail.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from pathlib import Path

from orchestration.errors import ForeignThing
from orchestration.events import (
    Answer,
    Check,
    LogLine,
    Sink,
    Status,
    Stream,
    TaskProgressed,
)
from orchestration.hosts import Host, Hosts
from orchestration.instructions.boot.limits import USUAL, BootLimits
from orchestration.instructions.bounded_log import DEFAULT_BYTES, BoundedLog
from orchestration.instructions.progress import Reading, Reporter
from orchestration.plan.execution import Execution
from orchestration.plan.images import ImageWish
from orchestration.plan.model import Options, Resource
from orchestration.plan.snapshots import SnapshotWish
from orchestration.project.fetched import Quota
from orchestration.project.folder import Project
from orchestration.providers.libvirt.ownership import GuestDomain, domain_of
from orchestration.providers.linux.ruleset import Policy
from orchestration.state.model import GuestState, State
from orchestration.transport.base import OnLine, OnProgress, Scope

# A smaller copy ends before its progress could be read.
LARGE_BYTES = 8 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a task ended: `status` is DONE, UNCHANGED or WARNING.

    It is FAILED only with an `answer`, of a user's program that did not succeed, or with
    `found`, of a check that found a fault. It is CANCELLED for a program or capture that
    was stopped and has something to show. The engine gives SKIPPED to guests that did
    not begin.
    """

    status: Status
    message: str = ""
    hint: str = ""
    detail: str = ""
    answer: Answer | None = None
    found: Check | None = None


def done(message: str = "") -> Outcome:
    """Return the outcome of a task that changed something."""
    return Outcome(Status.DONE, message)


def unchanged(message: str = "") -> Outcome:
    """Return the outcome of a task that found its resource as wanted."""
    return Outcome(Status.UNCHANGED, message)


def leaving_foreign(
    removal: Callable[["Task"], Outcome],
) -> Callable[["Task"], Outcome]:
    """Let a removal end with a warning where a foreign thing has the name of ours."""

    @wraps(removal)
    def leave(task: "Task") -> Outcome:
        try:
            return removal(task)
        except ForeignThing as exc:
            return Outcome(Status.WARNING, exc.message, exc.hint)

    return leave


@dataclass(slots=True)
class Task:
    """One resource's work: what it can use, and how it reports.

    `host` is the resource's host, opened; `hosts` reaches the others and the
    guests. `peers` is the number of tasks that run on this host at the same time
    in this instruction, for deadlines that grow with it: a guest may take
    `boot.deadline_s` and something for each of them. `log_bytes` bounds the output of
    its commands in the log. Hosts' firewalls follow from `policy`. `execution` is what
    `exec` does; answers become files of the folder `answers`, and what the guest sends
    becomes a folder in `fetched`, within the testbed's `quota`. `user_keys` are lines of
    SSH keys that guests accept; None leaves those that they have. `snapshot` is what
    `snapshot` does, `image` which images a `save-image` makes.
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
    boot: BootLimits = USUAL
    log_bytes: int = DEFAULT_BYTES
    policy: Policy = field(default_factory=Policy)
    execution: Execution | None = None
    answers: Path | None = None
    fetched: Path | None = None
    quota: Quota = field(default_factory=Quota)
    user_keys: tuple[str, ...] | None = None
    snapshot: SnapshotWish | None = None
    image: ImageWish | None = None
    _reporter: Reporter = field(init=False)
    _log: BoundedLog = field(init=False)

    def __post_init__(self) -> None:
        self._reporter = Reporter(self._tell)
        self._log = BoundedLog(self.tell_line, self.log_bytes)

    def log(self, text: str, stream: Stream = Stream.INFO) -> None:
        """Show a line to the user; of endless output the first and the last lines."""
        self._log.add(stream, text)

    def domain(self, guest: GuestState) -> GuestDomain:
        """Return the domain of one of the testbed's guests."""
        return domain_of(self.state.testbed, guest)

    @property
    def on_line(self) -> OnLine:
        """Return a callback for `Transport.run` that shows each line to the user."""
        return lambda stream, text: self.log(text, stream)

    def progress(
        self, done: int, total: int, *, unit: str = "B", note: str = ""
    ) -> None:
        """Show how far the task is; may be called at any rate.

        `note` names the work: another note is another piece of work. Bytes get a rate
        and a remaining time.
        """
        self._reporter.report(done, total, unit=unit, note=note)

    def on_progress(self, note: str) -> OnProgress:
        """Return a callback that shows how many bytes of this work are done."""
        return lambda done, total: self.progress(done, total, note=note)

    def on_large(self, size_bytes: int, note: str) -> OnProgress | None:
        """Return the same for a large copy; None for a small one."""
        return self.on_progress(note) if size_bytes >= LARGE_BYTES else None

    def look_at_progress(self) -> None:
        """Show changes that come with time alone; the engine calls it each second."""
        self._reporter.look_again()

    def close(self) -> None:
        """Show how far the task came and the end of its output, and nothing after."""
        self._reporter.close()
        self._log.close()

    def tell_line(self, stream: Stream, text: str) -> None:
        """Show a line of output that the caller bounds itself."""
        name, host = self.resource.name, self.resource.host
        self.sink(LogLine(self.index, name, host, stream, text))

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


ActionTable = dict[str, Callable[[Task], Outcome]]


def guest_here(task: Task) -> GuestState:
    """Return the guest as it is on the task's host; it may be on another one, too."""
    name, host = task.resource.key, task.resource.host
    return next(g for g in task.state.guests if (g.name, g.host) == (name, host))
