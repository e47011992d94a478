"""The events that a run reports while it works, as plain values.

The engine emits these to a sink (any callable). The web's recorder numbers them and
stores them as rows; the CLI prints them. A sink must be cheap and thread-safe: tasks of
one instruction emit from many threads. Nothing here is a log record: logs are for
administrators, events are for the user.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum


class Status(StrEnum):
    """The result of one resource's task."""

    DONE = "done"
    UNCHANGED = "unchanged"
    WARNING = "warning"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SKIPPED = "skipped"


SUCCESSFUL = (Status.DONE, Status.UNCHANGED, Status.WARNING)


class Stream(StrEnum):
    """The source of a log line; `INFO` is the engine itself."""

    INFO = "info"
    STDOUT = "stdout"
    STDERR = "stderr"


@dataclass(frozen=True, slots=True)
class LogLine:
    """One line of output; `text` has no line end and may hold any character."""

    index: int
    resource: str
    host: str
    stream: Stream
    text: str


@dataclass(frozen=True, slots=True)
class TaskStarted:
    """Work on one resource of instruction `index` began."""

    index: int
    resource: str
    host: str


@dataclass(frozen=True, slots=True)
class TaskProgressed:
    """`done` of `total` `unit`s; `total` 0 means unknown. `note` names the work.

    For bytes also the `rate` of the last seconds in units per second, 0 unknown, and
    `left_s`, the remaining time, None unknown.
    """

    index: int
    resource: str
    host: str
    done: int
    total: int
    unit: str
    note: str = ""
    rate: int = 0
    left_s: int | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """The output of a program in one guest, as it is kept in a file.

    `exit_code` is None for a program that was ended. Equal outputs have equal `digest`s.
    `lines` and `size_bytes` are of what is kept; `is_cut`: there was more. `by_agent`:
    it came through the guest's QEMU agent, not over SSH.
    """

    exit_code: int | None
    lines: int
    size_bytes: int
    digest: str
    is_cut: bool = False
    by_agent: bool = False


@dataclass(frozen=True, slots=True)
class Check:
    """The facts that a check read of one guest.

    `layer` is the first that failed, empty for a guest that can be reached. `addresses`
    are those in the guest by its interfaces' names. `console` is the end of its serial
    console. All but `layer` is the guest's own word, and bounded.
    """

    layer: str = ""
    addresses: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    console: str = ""


@dataclass(frozen=True, slots=True)
class TaskFinished:
    """Work on one resource ended; `message`, `hint` and `detail` as in errors.

    `answer` is there when it ran a user's program, `found` when it checked a guest.
    """

    index: int
    resource: str
    host: str
    status: Status
    message: str = ""
    hint: str = ""
    detail: str = ""
    seconds: float = 0.0
    answer: Answer | None = None
    found: Check | None = None


Event = LogLine | TaskStarted | TaskProgressed | TaskFinished
Sink = Callable[[Event], None]


def discard(event: Event) -> None:
    """Discard events, for callers that do not listen."""
