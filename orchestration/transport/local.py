"""The main host: commands as child processes, files by copying, no SSH.

Implements the Transport protocol of base.py. Each command is a session of its own and
carries the scope's tag; ending it scans /proc directly. Used by
`orchestration/hosts.py` for the machine that the worker runs on.
"""

import contextlib
import os
import selectors
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import IO

from orchestration.errors import CommandFailed
from orchestration.files import part_path
from orchestration.transport.base import (
    Command,
    Completed,
    Ended,
    OnBytes,
    OnLine,
    OnProgress,
    Scope,
    command,
)
from orchestration.transport.files import copying, parts
from orchestration.transport.output import Running, conclude
from orchestration.transport.processes.ending import end_here, end_line, parse_ended
from orchestration.transport.processes.tags import environment, tag_of, wrap_argv

POLL_S = 0.02
# The time to wait for output after the program's end: a background process may hold the
# streams open for ever.
LINGER_S = 1.0
GRACE_S = 0.3
_READ_BYTES = 256 * 1024


class LocalTransport:
    """Run commands and copy files on this machine."""

    def __init__(self, machine: str = "main") -> None:
        self._machine = machine
        self._is_root = os.geteuid() == 0

    @property
    def machine(self) -> str:
        """The machine's name as users know it."""
        return self._machine

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
        tag = tag_of(scope)
        given = feed or (iter((cmd.stdin,)) if cmd.stdin else None)
        running = Running(cmd, self._machine, on_line, on_bytes)
        scope.entered.add(self)
        try:
            child = self._start(cmd, tag, has_input=given is not None)
        except OSError as exc:
            return conclude(_not_started(cmd, exc), self._machine, check=check)
        deadline = time.monotonic() + timeout_s
        try:
            pump = _Pump(child, given or iter(()), running.sinks)
            in_time = pump.run(scope, deadline)
        except BaseException:
            self._end_child(child, tag, scope)
            raise
        if not in_time:
            self._end_child(child, tag, scope)
            raise running.timed_out(timeout_s)
        _release(child)
        code = child.returncode if child.returncode >= 0 else 128 - child.returncode
        if code != 0:
            # The cancel of another command of the task may have ended this one, too.
            scope.check_cancelled()
        return running.ended(code, check=check)

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
        """Copy a file or bytes to `target`; see Transport.put."""
        scope.check_cancelled()
        if as_root and not self._is_root:
            self._put_as_root(source, target, scope=scope, mode=mode)
            return
        path = Path(target)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            if not isinstance(source, bytes):
                parts.sweep_beside(path)
            with parts.written_beside(path) as (part, writer):
                if isinstance(source, bytes):
                    writer.write(source)
                else:
                    copying.copy_here(
                        source,
                        writer,
                        check=scope.check_cancelled,
                        on_progress=on_progress,
                    )
                writer.flush()
                part.chmod(mode)
                part.replace(path)
        except OSError as exc:
            raise copying.not_written(exc, target, self._machine) from exc
        if on_progress is not None and isinstance(source, bytes):
            on_progress(len(source), len(source))

    def get(self, source: str, target: Path, *, scope: Scope) -> None:
        """Fetch one file, whole or not at all."""
        if not Path(source).is_file():
            raise CommandFailed(
                f"There is no file {source} on {self._machine}.", exit_code=1
            )
        self.put(Path(source), str(target.absolute()), scope=scope)

    def end(self, tag_prefix: str, *, grace_s: float = GRACE_S) -> Ended:
        """End every process that carries the tag; see Transport.end."""
        if self._is_root or shutil.which("sudo") is None:
            return end_here(self._machine, tag_prefix, grace_s)
        line = end_line(tag_prefix, grace_s, is_root=False)
        done = self.run(command("sh", "-c", line), scope=Scope())
        return parse_ended(self._machine, done.stdout)

    def close(self) -> None:
        """Do nothing: there is no connection."""

    def _start(
        self, cmd: Command, tag: str, *, has_input: bool
    ) -> subprocess.Popen[bytes]:
        """Start a command in a session of its own. Raises: OSError."""
        sudo = cmd.as_root and not self._is_root
        return subprocess.Popen(
            wrap_argv(cmd, tag, sudo=sudo),
            env={**os.environ, **environment(cmd, tag)},
            stdin=subprocess.PIPE if has_input else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def _end_child(
        self, child: subprocess.Popen[bytes], tag: str, scope: Scope
    ) -> None:
        scope.ended.append(self.end(tag))
        with contextlib.suppress(OSError):
            child.kill()
        _release(child)

    def _put_as_root(
        self, source: Path | bytes, target: str, *, scope: Scope, mode: int
    ) -> None:
        """Copy as root: sudo's cp reads the file itself; bytes go through stdin."""
        part = part_path(target)
        if isinstance(source, bytes):
            size = len(source)
            receive = copying.put_command(target, part, mode=mode, size=size)
            receive = replace(receive, stdin=source, as_root=True)
        else:
            receive = copying.copy_command(str(source), target, part, mode=mode)
            receive = receive.with_root()
        try:
            self.run(receive, scope=scope, timeout_s=copying.COPY_TIMEOUT_S)
        except CommandFailed as exc:
            raise copying.put_failed(exc, target, self._machine) from exc


class _Pump:
    """Move the bytes of one child until it has ended, on the caller's thread."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        stdin: Iterator[bytes],
        sinks: tuple[OnBytes, OnBytes],
    ) -> None:
        self._selector = selectors.DefaultSelector()
        self._exit_fd = os.pidfd_open(child.pid)
        self._stdin = stdin
        self._unsent = memoryview(b"")
        self._open = 0
        self._exited_at = 0.0
        self._watch(self._exit_fd, self._on_exit)
        for pipe, sink in zip((child.stdout, child.stderr), sinks, strict=True):
            if pipe is not None:
                self._open += 1
                self._watch(pipe, partial(self._on_output, pipe, sink))
        if child.stdin is not None:
            os.set_blocking(child.stdin.fileno(), False)
            self._watch(child.stdin, partial(self._on_input, child.stdin), write=True)

    def run(self, scope: Scope, deadline: float) -> bool:
        """Return whether the child ended in time. Raises: Cancelled."""
        with self._selector:
            try:
                while not self._is_done():
                    scope.check_cancelled()
                    if time.monotonic() > deadline:
                        return False
                    for key, _ in self._selector.select(POLL_S):
                        key.data()
            finally:
                os.close(self._exit_fd)
        return True

    def _is_done(self) -> bool:
        if not self._exited_at:
            return False
        return not self._open or time.monotonic() > self._exited_at + LINGER_S

    def _watch(
        self, file: IO[bytes] | int, act: Callable[[], None], *, write: bool = False
    ) -> None:
        event = selectors.EVENT_WRITE if write else selectors.EVENT_READ
        self._selector.register(file, event, act)

    def _on_exit(self) -> None:
        self._exited_at = time.monotonic()
        self._selector.unregister(self._exit_fd)

    def _on_output(self, pipe: IO[bytes], sink: OnBytes) -> None:
        data = os.read(pipe.fileno(), _READ_BYTES)
        if data:
            sink(data)
            return
        self._selector.unregister(pipe)
        self._open -= 1

    def _on_input(self, pipe: IO[bytes]) -> None:
        self._unsent = self._unsent or memoryview(next(self._stdin, b""))
        try:
            sent = os.write(pipe.fileno(), self._unsent) if self._unsent else 0
        except BlockingIOError:
            return
        except BrokenPipeError:
            sent = 0
        self._unsent = self._unsent[sent:]
        if not sent:
            self._selector.unregister(pipe)
            pipe.close()


def _release(child: subprocess.Popen[bytes]) -> None:
    """Close the pipes of a child that has ended, or that survived KILL."""
    for stream in (child.stdin, child.stdout, child.stderr):
        if stream is not None:
            with contextlib.suppress(OSError):
                stream.close()
    with contextlib.suppress(subprocess.TimeoutExpired):
        child.wait(timeout=LINGER_S)


def _not_started(cmd: Command, error: OSError) -> Completed:
    """Return a shell's exit code: 127 for a missing program, else 126."""
    code = 127 if isinstance(error, FileNotFoundError) else 126
    reason = "not found" if code == 127 else os.strerror(error.errno or 0)
    return Completed(cmd, code, "", f"{cmd.argv[0]}: {reason}", 0.0)
