"""A machine that exists only in a test: canned answers, and a record of what was asked.

Tests of providers, instructions and the engine give it to the code under test in
place of a LocalTransport or SSHTransport. It runs nothing and keeps files in memory;
real transports are tested against real shells and a real sshd elsewhere.
"""

import difflib
import re
import threading
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestration.errors import CommandFailed, TestbedError
from orchestration.events import Stream
from orchestration.transport.base import (
    Command,
    Completed,
    Ended,
    OnBytes,
    OnLine,
    OnProgress,
    Scope,
)


@dataclass(frozen=True)
class Reply:
    """The answer of a scripted command; `error` is raised in its place."""

    stdout: str = ""
    stderr: str = ""
    exit_code: int = 0
    error: TestbedError | None = None


Expected = str | re.Pattern[str]
Answer = Reply | str | int | TestbedError


def _as_reply(answer: Answer) -> Reply:
    match answer:
        case Reply():
            return answer
        case str():
            return Reply(stdout=answer)
        case int():
            return Reply(exit_code=answer)
        case _:
            return Reply(error=answer)


class FakeTransport:
    """Answer commands from a script of (command line or regex, answer).

    A string must equal `str(command)`, a regex must match all of it. An answer is a
    Reply, a stdout (str), an exit code (int) or an error to raise. Of several
    matching entries each is used once, in order, and the last one for ever. An
    unknown command fails the test and names the nearest expected one.
    """

    def __init__(
        self,
        machine: str = "host-a",
        script: Iterable[tuple[Expected, Answer]] = (),
    ) -> None:
        self._machine = machine
        self._script = [(expected, _as_reply(answer)) for expected, answer in script]
        self._used: set[int] = set()
        self._lock = threading.Lock()
        self.calls: list[Command] = []
        self.scopes: list[Scope] = []
        self.files: dict[str, bytes] = {}
        self.modes: dict[str, int] = {}
        self.ended_prefixes: list[str] = []
        self.closed = False

    @property
    def machine(self) -> str:
        return self._machine

    def expect(self, *script: tuple[Expected, Answer]) -> None:
        """Add to the script."""
        self._script += [(expected, _as_reply(answer)) for expected, answer in script]

    @property
    def lines(self) -> list[str]:
        """The commands that were run, as text, in order."""
        return [str(cmd) for cmd in self.calls]

    @property
    def unused(self) -> list[str]:
        """The scripted commands that nobody ran."""
        return [
            _text(expected)
            for index, (expected, _) in enumerate(self._script)
            if index not in self._used
        ]

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
        scope.check_cancelled()
        with self._lock:
            self.calls.append(cmd)
            self.scopes.append(scope)
            reply = self._reply_to(str(cmd))
        if reply.error is not None:
            raise reply.error
        if on_bytes is not None:
            on_bytes(reply.stdout.encode())
        if on_line is not None:
            for line in () if on_bytes else reply.stdout.splitlines():
                on_line(Stream.STDOUT, line)
            for line in reply.stderr.splitlines():
                on_line(Stream.STDERR, line)
        if check and reply.exit_code != 0:
            raise CommandFailed(
                f"Command {cmd} failed on {self.machine} "
                f"with exit code {reply.exit_code}.",
                exit_code=reply.exit_code,
                detail=reply.stderr or reply.stdout,
            )
        return Completed(cmd, reply.exit_code, reply.stdout, reply.stderr, 0.0)

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
        scope.check_cancelled()
        data = source if isinstance(source, bytes) else source.read_bytes()
        with self._lock:
            self.files[target] = data
            self.modes[target] = mode
        if on_progress is not None:
            on_progress(len(data), len(data))

    def get(self, source: str, target: Path, *, scope: Scope) -> None:
        scope.check_cancelled()
        if source not in self.files:
            raise CommandFailed(
                f"Could not read {source} on {self.machine}.", exit_code=1
            )
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(self.files[source])

    def end(self, tag_prefix: str, *, grace_s: float = 0.3) -> Ended:
        self.ended_prefixes.append(tag_prefix)
        return Ended(self.machine, (), ())

    def close(self) -> None:
        self.closed = True

    def _reply_to(self, line: str) -> Reply:
        matching = [
            index
            for index, (expected, _) in enumerate(self._script)
            if _matches(expected, line)
        ]
        if not matching:
            pytest.fail(self._unknown(line))
        fresh = [index for index in matching if index not in self._used]
        index = fresh[0] if fresh else matching[-1]
        self._used.add(index)
        return self._script[index][1]

    def _unknown(self, line: str) -> str:
        known = [_text(expected) for expected, _ in self._script]
        nearest = difflib.get_close_matches(line, known, n=1, cutoff=0.0)
        expected = f"; the nearest expected one is: {nearest[0]}" if nearest else ""
        return f"unexpected command on {self.machine}: {line}{expected}"


def _matches(expected: Expected, line: str) -> bool:
    if isinstance(expected, str):
        return expected == line
    return expected.fullmatch(line) is not None


def _text(expected: Expected) -> str:
    return expected if isinstance(expected, str) else f"/{expected.pattern}/"
