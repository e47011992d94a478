"""A guest behind its QEMU guest agent: no network and no login, but slower than SSH.

The agent runs programs as root and reads and writes files in small pieces. A command's
streams are files in a private folder of the guest, which are read while it runs.
Whatever the agent answers is the guest's word: it is checked, and what is kept of it is
bounded. `ask` sends one command to the agent and raises HostUnreachable.
"""

import base64
import contextlib
import secrets
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import TypeVar

from pydantic import BaseModel, Field, ValidationError

from orchestration.errors import HostUnreachable
from orchestration.transport.base import (
    Command,
    Completed,
    Ended,
    OnBytes,
    OnLine,
    Scope,
)
from orchestration.transport.files import copying
from orchestration.transport.files.streamed import StreamedFiles
from orchestration.transport.output import Running
from orchestration.transport.processes.ending import end_line, parse_ended, unconfirmed
from orchestration.transport.processes.tags import tag_of, wrap_line

Ask = Callable[[str, Mapping[str, object]], object]
# The agent's messages are JSON, with base64 inside, over a serial port.
PIECE_BYTES = 48 * 1024
POLLS_S = (0.02, 0.05, 0.1, 0.2)
GRACE_S = 0.3
END_TIMEOUT_S = 10.0
_BEGIN = 'umask 077; mkdir "$1" && cd "$1" && : > in && : > out && : > err'
# A session of its own, because the end of a command looks for its kin by sessions. The
# subshell leads no group, so that setsid does not fork and its exit code is known.
_RUN = """\
cd "$1" || exit 1
exec < in >> out 2>> err
cd /
(exec setsid sh -c 'eval "$1"' sh "$2")
exit $?
"""
_FOLDER = "/tmp/.testbed-"  # nosec B108  # noqa: S108 - the guest's, with a random end
_AS_ACCOUNT = ("su", "-s", "/bin/sh", "-c", 'exec "$@"', "--")


class _Started(BaseModel):
    pid: int


class _Status(BaseModel):
    exited: bool
    exitcode: int = 0
    signal: int = 0


class _Piece(BaseModel):
    count: int = Field(ge=0, le=PIECE_BYTES)
    data: str = Field(default="", alias="buf-b64", max_length=2 * PIECE_BYTES)


Reply = TypeVar("Reply", bound=BaseModel)


class AgentTransport(StreamedFiles):
    """Runs commands and copies files through a guest's agent.

    `account` is the user whose name commands run under that need no root; empty: root.
    """

    piece_bytes = PIECE_BYTES

    def __init__(self, ask: Ask, machine: str, *, account: str = "") -> None:
        self._agent = _Agent(ask, machine)
        self._machine = machine
        self._account = account

    @property
    def machine(self) -> str:
        """The machine's name as users know it."""
        return self._machine

    def answers(self) -> bool:
        """Return whether an agent answers now."""
        try:
            self._agent.ask("guest-ping", {})
        except HostUnreachable:
            return False
        return True

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
        """Run a command to its end; see Transport.run."""
        scope.check_cancelled()
        running = Running(cmd, self._machine, on_line, on_bytes)
        tag = tag_of(scope)
        line = wrap_line(self._of_account(cmd), tag, sudo=False)
        job = _Job(self._agent, scope, time.monotonic() + timeout_s)
        scope.entered.add(self)
        try:
            code = job.run(line, feed or iter((cmd.stdin,)), running.sinks)
        except TimeoutError:
            scope.ended.append(self._end_or_admit(tag, cmd))
            raise running.timed_out(timeout_s) from None
        except HostUnreachable:
            raise
        except BaseException:
            scope.ended.append(self._end_or_admit(tag, cmd))
            raise
        finally:
            job.remove()
        return running.ended(code, check=check)

    def end(self, tag_prefix: str, *, grace_s: float = GRACE_S) -> Ended:
        """End every process that carries the tag; see Transport.end."""
        line = end_line(tag_prefix, grace_s, is_root=True)
        printed = bytearray()
        job = _Job(self._agent, Scope(), time.monotonic() + END_TIMEOUT_S)
        try:
            job.run(line, iter(()), (printed.extend, printed.extend))
            return parse_ended(self._machine, printed.decode(errors="replace"))
        except (TimeoutError, ValueError) as exc:
            raise HostUnreachable(
                f"The agent of {self._machine} does not say what it ended."
            ) from exc
        finally:
            job.remove()

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def _end_or_admit(self, tag: str, cmd: Command) -> Ended:
        try:
            return self.end(tag)
        except HostUnreachable as exc:
            return unconfirmed(self._machine, cmd, exc.message)

    def _of_account(self, cmd: Command) -> Command:
        if cmd.as_root or not self._account:
            return cmd
        return replace(cmd, argv=(*_AS_ACCOUNT, self._account, "sh", *cmd.argv))


class _Agent:
    """The agent's commands, with checked answers."""

    def __init__(self, ask: Ask, machine: str) -> None:
        self.ask = ask
        self._machine = machine

    def execute(self, *words: str) -> int:
        """Start a shell program and return its pid."""
        arguments = {"path": "/bin/sh", "arg": ["-c", *words]}
        return self._parsed(self.ask("guest-exec", arguments), _Started).pid

    def status(self, pid: int) -> _Status:
        """Return whether a program has ended, and how."""
        return self._parsed(self.ask("guest-exec-status", {"pid": pid}), _Status)

    def open(self, path: str, mode: str) -> int:
        """Open a file and return its handle."""
        found = self.ask("guest-file-open", {"path": path, "mode": mode})
        if not isinstance(found, int):
            raise self._nonsense()
        return found

    def read(self, handle: int) -> bytes:
        """Read the next bytes of a file; none at its end."""
        found = self.ask("guest-file-read", {"handle": handle, "count": PIECE_BYTES})
        piece = self._parsed(found, _Piece)
        try:
            return base64.b64decode(piece.data, validate=True)[: piece.count]
        except ValueError as exc:
            raise self._nonsense() from exc

    def write(self, handle: int, data: bytes) -> None:
        """Append bytes to a file."""
        text = base64.b64encode(data).decode()
        self.ask("guest-file-write", {"handle": handle, "buf-b64": text})

    def close(self, handle: int) -> None:
        """Close a file."""
        self.ask("guest-file-close", {"handle": handle})

    def _parsed(self, found: object, kind: type[Reply]) -> Reply:
        try:
            return kind.model_validate(found)
        except ValidationError as exc:
            raise self._nonsense() from exc

    def _nonsense(self) -> HostUnreachable:
        return HostUnreachable(f"The agent of {self._machine} answers nonsense.")


class _Job:
    """One command, whose streams are files of a folder in the guest."""

    def __init__(self, agent: _Agent, scope: Scope, deadline: float) -> None:
        self._agent = agent
        self._scope = scope
        self._deadline = deadline
        self._folder = f"{_FOLDER}{secrets.token_hex(8)}"
        self._handles: list[int] = []

    def run(
        self, line: str, stdin: Iterator[bytes], sinks: tuple[OnBytes, OnBytes]
    ) -> int:
        """Return the exit code. Raises: Cancelled, TimeoutError, HostUnreachable."""
        if self._wait(self._agent.execute(_BEGIN, "sh", self._folder)) != 0:
            raise HostUnreachable("The agent cannot write to /tmp.")
        self._write("in", stdin)
        line = self._request(line)
        for name in ("out", "err"):
            self._handles.append(self._agent.open(f"{self._folder}/{name}", "r"))
        streams = tuple(zip(self._handles, sinks, strict=True))
        pid = self._agent.execute(_RUN, "sh", self._folder, line)
        code = self._wait(pid, lambda: self._drain(streams))
        self._drain(streams)
        return code

    def remove(self) -> None:
        """Close and remove the files, where the guest still answers."""
        with contextlib.suppress(HostUnreachable):
            for handle in self._handles:
                self._agent.close(handle)
            self._handles.clear()
            self._agent.execute('rm -rf -- "$1"', "sh", self._folder)

    def _request(self, line: str) -> str:
        """Return a line that fits in one argument of the guest's shell."""
        content = line.encode()
        if len(content) <= PIECE_BYTES:
            return line
        self._write("line", iter((content,)))
        return f'eval "$(cat {self._folder}/line)"'

    def _write(self, name: str, content: Iterator[bytes]) -> None:
        handle = self._agent.open(f"{self._folder}/{name}", "w")
        try:
            for piece in copying.cut(content, PIECE_BYTES):
                self._check()
                self._agent.write(handle, piece)
        finally:
            self._agent.close(handle)

    def _wait(self, pid: int, work: Callable[[], None] = lambda: None) -> int:
        """Wait for a program's end, at work meanwhile; a signal counts as in shells."""
        polls = iter(POLLS_S)
        while not (status := self._agent.status(pid)).exited:
            self._check()
            work()
            self._scope.sleep(next(polls, POLLS_S[-1]))
        return 128 + status.signal if status.signal else status.exitcode

    def _drain(self, streams: tuple[tuple[int, OnBytes], ...]) -> None:
        for handle, sink in streams:
            while data := self._agent.read(handle):
                self._check()
                sink(data)

    def _check(self) -> None:
        self._scope.check_cancelled()
        if time.monotonic() > self._deadline:
            raise TimeoutError
