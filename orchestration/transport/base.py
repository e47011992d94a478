"""How to reach a machine: the one interface, and the values that cross it.

Four ways behind it: the main host (subprocess), a remote host (SSH), a guest of the
main host (SSH), a guest of a remote host (SSH through its host). Providers and
instructions see only `Transport`. A `Scope` carries what all commands of one task
share: the tag by which their processes are found again, and the wish to stop.
"""

import shlex
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Protocol

from orchestration.errors import Cancelled
from orchestration.events import Stream

TAG_VARIABLE = "TESTBED_TAG"
OnLine = Callable[[Stream, str], None]
OnProgress = Callable[[int, int], None]
Log = Callable[[str], None]


def no_progress(done: int, total: int) -> None:
    """Tell nobody how far something is."""


def no_log(text: str) -> None:
    """Tell nobody."""


@dataclass(frozen=True, slots=True)
class Command:
    """A program with its arguments; never a shell string.

    `stdin` is given to it whole. `as_root` asks for root (sudo where the login is
    not root). `secret` keeps the arguments out of logs and errors.
    """

    argv: tuple[str, ...]
    env: Mapping[str, str] = field(default_factory=dict)
    stdin: bytes = b""
    as_root: bool = False
    secret: bool = False

    def __str__(self) -> str:
        return f"{self.argv[0]} ***" if self.secret else shlex.join(self.argv)

    def with_root(self) -> "Command":
        """Return the same command, run as root."""
        return replace(self, as_root=True)


def command(
    *argv: str, env: Mapping[str, str] | None = None, stdin: bytes = b""
) -> Command:
    """Build a Command from its words: `command("ip", "link", "show", device)`."""
    return Command(argv, env=env or {}, stdin=stdin)


@dataclass(frozen=True, slots=True)
class Completed:
    """What a command did; the outputs keep their last 1 MiB, decoded leniently."""

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
    """Proof of an ending: who was there, and who still is (empty when all is well)."""

    machine: str
    found: tuple[Process, ...]
    survivors: tuple[Process, ...]


class Scope:
    """What the commands of one task share; thread-safe.

    `tag` is exported to every command as TESTBED_TAG, and is `<run>.<batch>.<task>`
    so that a prefix finds all processes of a run. After `cancel()` every wait in
    the scope ends with `Cancelled`. `ended` collects the proofs, `entered` the
    machines on which a command was started.
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

    def sleep(self, seconds: float) -> None:
        """Wait, or raise Cancelled as soon as the run is cancelled."""
        if self.stop.wait(seconds):
            raise Cancelled


class Transport(Protocol):
    """One machine that commands and files can be sent to."""

    @property
    def machine(self) -> str:
        """The name that users know this machine by."""
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
    ) -> Completed:
        """Run a command to its end, streaming lines; end it on cancel or timeout.

        `feed` is its input in place of `stdin`, for gigabytes: pieces are asked for
        as the command takes them, on the caller's thread, until it ends.

        Raises: CommandFailed (non-zero exit and `check`), CommandTimedOut,
        Cancelled, HostUnreachable. On cancel and timeout everything that the
        command started has been ended, and the proof is in `scope.ended`.
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

        Written beside the target and renamed, parent folders made. Raises:
        NotEnoughSpace, CommandFailed, Cancelled, HostUnreachable.
        """
        ...

    def get(self, source: str, target: Path, *, scope: Scope) -> None:
        """Fetch one file, whole or not at all."""
        ...

    def end(self, tag_prefix: str, *, grace_s: float = 0.3) -> Ended:
        """End every process whose TESTBED_TAG starts with `tag_prefix`, and prove it.

        TERM to each, a short grace, then KILL until a scan of /proc/*/environ finds
        none (bounded). As root where the login may become root.
        """
        ...

    def close(self) -> None:
        """Give the connection back; harmless twice."""
        ...
