"""The Transport protocol and the values that cross it.

Four ways implement it: the main host (subprocess), a remote host (SSH), a guest of the
main host (SSH) and a guest of a remote host (SSH through its host). `agent.py` is for
guests that SSH does not reach. Providers and instructions see only `Transport`. A `Scope` carries what all commands of one task
share: the tag that marks their processes, and the request to cancel.
"""

import shlex
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from orchestration.errors import Cancelled
from orchestration.events import Stream

TAG_VARIABLE = "TESTBED_TAG"
OnLine = Callable[[Stream, str], None]
OnBytes = Callable[[bytes], None]
OnProgress = Callable[[int, int], None]
Log = Callable[[str], None]


def no_progress(done: int, total: int) -> None:
    """Ignore the progress."""


def no_log(text: str) -> None:
    """Ignore the text."""


# $1 the umask, then the command.
UMASK_SCRIPT = 'umask "$1" && shift && exec "$@"'


@dataclass(frozen=True, slots=True)
class Command:
    """A program with its arguments; never a shell string.

    `stdin` is the whole input. `as_root` asks for root (sudo where the login is not
    root). `secret` keeps the arguments out of logs and errors. `grouped` asks for a
    control group around all that the program starts, where the machine has them.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    as_root: bool = False
    secret: bool = False
    grouped: bool = False

    def __str__(self) -> str:
        return f"{self.argv[0]} ***" if self.secret else shlex.join(self.argv)

    def with_root(self) -> "Command":
        """Return the same command, run as root."""
        return replace(self, as_root=True)

    def with_umask(self, umask: int) -> "Command":
        """Return the same command, whose files do not follow its account's umask."""
        words = ("sh", "-c", UMASK_SCRIPT, "sh", f"{umask:03o}")
        return replace(self, argv=(*words, *self.argv))


def command(
    *argv: str, env: Mapping[str, str] | None = None, stdin: bytes = b""
) -> Command:
    """Build a Command from its words: `command("ip", "link", "show", device)`."""
    return Command(argv, env=env or {}, stdin=stdin)


@dataclass(frozen=True, slots=True)
class Completed:
    """The result of a command; each output keeps its last 1 MiB, decoded leniently."""

    command: Command
    exit_code: int
    stdout: str
    stderr: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Process:
    """One process seen on a machine: `pid` there, `name` its command line's start."""

    pid: int
    name: str


@dataclass(frozen=True, slots=True)
class Ended:
    """Proof of an ending: the processes found, and the survivors (normally none).

    `by_group` is true when the processes were in control groups that are removed now,
    so that none is left, false when a group is left. None: there was no group, and
    processes without the mark were found only as kin of others.
    """

    machine: str
    found: tuple[Process, ...]
    survivors: tuple[Process, ...]
    by_group: bool | None = None


class Scope:
    """State shared by the commands of one task; thread-safe.

    Every command gets `tag` as TESTBED_TAG. Its form is `<run>.<batch>.<task>`, so a
    prefix finds all processes of a run. After `cancel()` every wait in the scope raises
    `Cancelled`. `ended` collects the proofs, `entered` the machines on which a command
    was started.
    """

    def __init__(self, tag: str = "", *, stop: threading.Event | None = None) -> None:
        self.tag = tag
        self.stop = stop or threading.Event()
        self.ended: list[Ended] = []
        self.entered: set[Transport] = set()

    def cancel(self) -> None:
        """Ask every wait in this scope to end."""
        self.stop.set()

    def check_cancelled(self) -> None:
        """Raise Cancelled when the run was cancelled."""
        if self.stop.is_set():
            raise Cancelled

    def limited(self, seconds: float) -> "Scope":
        """Return this scope with an end: after `seconds`, too, waits raise Cancelled."""
        found = Scope(self.tag, stop=_StopInTime(self.stop, seconds))
        found.ended, found.entered = self.ended, self.entered
        return found

    def sleep(self, seconds: float) -> None:
        """Wait, or raise Cancelled as soon as the run is cancelled."""
        if self.stop.wait(seconds):
            raise Cancelled


class _StopInTime(threading.Event):
    """Another event, which is set after some time at the latest."""

    def __init__(self, stop: threading.Event, seconds: float) -> None:
        super().__init__()
        self._stop = stop
        self._deadline = time.monotonic() + seconds

    def is_set(self) -> bool:
        return self._stop.is_set() or time.monotonic() >= self._deadline

    def set(self) -> None:
        self._stop.set()

    def wait(self, timeout: float | None = None) -> bool:
        left_s = max(0.0, self._deadline - time.monotonic())
        if timeout is None or timeout >= left_s:
            self._stop.wait(left_s)
            return True
        return self._stop.wait(timeout)


class Transport(Protocol):
    """One machine that commands and files can be sent to."""

    @property
    def machine(self) -> str:
        """The machine's name as users know it."""
        ...

    def run(
        self,
        cmd: Command,
        *,
        scope: Scope,
        timeout_s: float = 60.0,
        on_line: OnLine | None = None,
        check: bool = True,
        feed: Iterator[bytes] | None = None,
        on_bytes: OnBytes | None = None,
    ) -> Completed:
        """Run a command to its end, streaming lines; end it on cancel or timeout.

        `feed` replaces `stdin` for gigabytes of input: the caller's thread takes pieces
        from it as the command reads them. `on_bytes` takes gigabytes of stdout, which
        then is in no line and no result; it may raise to end the command.

        Raises: CommandFailed (non-zero exit and `check`), CommandTimedOut, Cancelled,
        HostUnreachable. On cancel and timeout all processes of the command are ended
        first, and the proof is in `scope.ended`.
        """
        ...

    def put(
        self,
        source: Path | bytes,
        target: str,
        *,
        scope: Scope,
        mode: int = 0o644,
        as_root: bool = False,
        on_progress: OnProgress | None = None,
    ) -> None:
        """Copy a file (sparse stays sparse) or bytes to `target`, whole or not at all.

        The copy is written beside the target and renamed; parent folders are made.
        Raises: NotEnoughSpace, CommandFailed, Cancelled, HostUnreachable.
        """
        ...

    def get(self, source: str, target: Path, *, scope: Scope) -> None:
        """Fetch one file, whole or not at all."""
        ...

    def end(self, tag_prefix: str, *, grace_s: float = 0.3) -> Ended:
        """End every process whose TESTBED_TAG starts with `tag_prefix`, and prove it.

        Send TERM, wait a short grace, then send KILL until a scan of /proc/*/environ
        finds none (bounded). Run as root where the login may become root.
        """
        ...

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        ...
