"""A machine behind SSH: the Transport that providers and instructions use.

Implements the protocol of base.py over one kept connection with many channels; `via`
sends that connection through another machine's. Processes of a command are ended over a
second channel: closing the first ends none of them.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

from orchestration.errors import CommandFailed, HostUnreachable
from orchestration.events import Stream
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
from orchestration.transport.output import Output, conclude, last_lines, timed_out
from orchestration.transport.processes.ending import end_line
from orchestration.transport.processes.tags import tag_of, wrap_line
from orchestration.transport.ssh.connection import Connection, Wake
from orchestration.transport.ssh.ending import (
    EndingQueue,
    end_until_over,
    run_ending,
    unconfirmed,
)
from orchestration.transport.ssh.failures import Failures
from orchestration.transport.ssh.limits import LinkLost
from orchestration.transport.ssh.link import Link
from orchestration.transport.ssh.login import Limits, Login, shell_unusable, unreachable
from orchestration.transport.ssh.session import (
    CHUNK_BYTES,
    Session,
    Sink,
    TimeUp,
    cut,
    pieces,
)
from orchestration.transport.ssh.waiting import slot

# sshd allows 10 sessions per connection (MaxSessions); two are kept for ending.
SESSIONS = 8
ENDING_SESSIONS = 2
CLEAN_UP_S = 6.0
GRACE_S = 0.3


class SSHTransport:
    """Runs commands and copies files on a machine with an SSH server.

    `host_key` is the pinned public key line, `failures` the ledger of connections that
    ended before a login (None: not counted). Connects on first use, once for all
    threads, and again when the kept connection turns out dead before a command was
    sent; a command that may have run is never sent twice.
    """

    def __init__(
        self,
        address: str,
        *,
        port: int = 22,
        user: str,
        identity_file: Path,
        host_key: str,
        machine: str,
        via: "SSHTransport | None" = None,
        connect_timeout_s: float = 10.0,
        failures: Failures | None = None,
    ) -> None:
        self._login = Login(
            machine,
            address,
            port,
            user,
            identity_file,
            host_key,
            connect_timeout_s,
            via=via.machine if via else "",
        )
        jump = via.connection if via else None
        self.connection: Connection = Connection(self._login, jump, failures)
        self._sessions = threading.BoundedSemaphore(SESSIONS)
        self._ending_sessions = threading.BoundedSemaphore(ENDING_SESSIONS)
        self._endings = EndingQueue()

    @property
    def machine(self) -> str:
        """The machine's name as users know it."""
        return self._login.machine

    def require_answer(self, limits: Limits, *, scope: Scope) -> None:
        """Check that the machine answers and accepts the login.

        Asks the kept connection, and logs in where there is none or it stays silent.
        Raises: Cancelled, HostUnreachable and its kinds.
        """
        scope.check_cancelled()
        self.connection.require_answer(limits, scope.stop.is_set)

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
        stdout = Output(Stream.STDOUT, on_line)
        stderr = Output(Stream.STDERR, on_line)
        sinks = (on_bytes or stdout.feed, stderr.feed)
        chunks = pieces(cmd.stdin) if feed is None else cut(feed)
        started = time.monotonic()
        try:
            code = self._execute(cmd, chunks, sinks, scope=scope, timeout_s=timeout_s)
        except TimeUp:
            detail = stderr.text or stdout.text
            raise timed_out(cmd, self.machine, timeout_s, detail) from None
        stdout.close()
        stderr.close()
        seconds = time.monotonic() - started
        completed = Completed(cmd, code, stdout.text, stderr.text, seconds)
        return conclude(completed, self.machine, check=check)

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
        part = part_path(target)
        with contextlib.ExitStack() as stack:
            if isinstance(source, bytes):
                size, extents = len(source), [(0, len(source))]
                chunks = copying.reported(pieces(source), size, on_progress)
            else:
                reader = stack.enter_context(copying.open_source(source))
                descriptor = reader.fileno()
                size = os.fstat(descriptor).st_size
                extents = copying.data_extents(descriptor, size)
                total = sum(end - start for start, end in extents)
                chunks = copying.reported(
                    copying.read_extents(descriptor, extents, CHUNK_BYTES),
                    total,
                    on_progress,
                )
            is_whole = extents in ([], [(0, size)])
            receive = copying.put_command(
                target, part, mode=mode, size=size, extents=() if is_whole else extents
            )
            if as_root:
                receive = receive.with_root()
            try:
                self._transfer(receive, chunks, scope=scope)
            except CommandFailed as exc:
                raise copying.put_failed(exc, target, self.machine) from exc
            except BaseException:
                self._remove(part, as_root=as_root)
                raise

    def get(self, source: str, target: Path, *, scope: Scope) -> None:
        """Fetch one file, whole or not at all."""
        target = target.absolute()
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
            parts.sweep_beside(target)
            with parts.written_beside(target) as (part, file):
                writer = copying.SparseWriter(file)
                self._transfer(
                    command("cat", "--", source),
                    iter(()),
                    scope=scope,
                    stdout=writer.write,
                )
                writer.finish()
                part.replace(target)
        except OSError as exc:
            raise copying.not_written(exc, str(target), "main") from exc
        except CommandFailed as exc:
            raise CommandFailed(
                f"Could not read {source} on {self.machine}.",
                exit_code=exc.exit_code,
                detail=exc.detail,
            ) from exc

    def end(self, tag_prefix: str, *, grace_s: float = GRACE_S) -> Ended:
        """End every process that carries the tag; see Transport.end.

        Takes seconds at most, of a busy guest up to 26, once it is its turn (see
        `EndingQueue`). Raises: HostUnreachable.
        """
        return self._end(tag_prefix, grace_s)

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        self.connection.close()

    def _transfer(
        self,
        cmd: Command,
        chunks: Iterator[bytes],
        *,
        scope: Scope,
        stdout: Sink | None = None,
    ) -> None:
        """Run one side of a copy; the other side is `chunks` or `stdout`."""
        ignored = Output(Stream.STDOUT, None)
        stderr = Output(Stream.STDERR, None)
        code = self._execute(
            cmd,
            chunks,
            (stdout or ignored.feed, stderr.feed),
            scope=scope,
            timeout_s=copying.COPY_TIMEOUT_S,
        )
        if code != 0:
            raise CommandFailed(
                f"A copy failed on {self.machine} with exit code {code}.",
                exit_code=code,
                detail=last_lines(stderr.text),
            )

    def _execute(
        self,
        cmd: Command,
        stdin: Iterator[bytes],
        sinks: tuple[Sink, Sink],
        *,
        scope: Scope,
        timeout_s: float,
    ) -> int:
        scope.check_cancelled()
        tag = tag_of(scope)
        sudo = cmd.as_root and self._login.user != "root"
        line = wrap_line(cmd, tag, sudo=sudo)
        deadline = time.monotonic() + timeout_s
        is_stopped = scope.stop.is_set
        with self._session(sinks, is_stopped, slots=self._sessions) as session:
            scope.entered.add(self)
            try:
                session.start(line, is_stopped)
                code = session.pump(stdin, is_stopped, deadline)
            except BaseException as exc:
                scope.ended.append(self._end_or_admit(tag, cmd, session))
                if isinstance(exc, LinkLost):
                    raise unreachable(self._login, exc) from exc
                raise
            if not session.is_begun:
                raise shell_unusable(self._login, session.printed)
            return code

    @contextlib.contextmanager
    def _session(
        self,
        sinks: tuple[Sink, Sink],
        is_stopped: Callable[[], bool],
        *,
        slots: threading.BoundedSemaphore,
        beside: Link | None = None,
    ) -> Iterator[Session]:
        wake = Wake()
        with slot(slots, is_stopped), self.connection.in_use():
            opened = partial(self.connection.open, wake, is_stopped, beside=beside)
            session = Session(opened, wake, stdout=sinks[0], stderr=sinks[1])
            try:
                yield session
            finally:
                session.close()

    def _end(
        self, tag_prefix: str, grace_s: float, *, beside: Link | None = None
    ) -> Ended:
        """End all processes with the tag, on the link of the ended command or not."""
        line = end_line(tag_prefix, grace_s, is_root=self._login.user == "root")
        slots = self._ending_sessions
        session = partial(self._session, slots=slots, beside=beside)
        try:
            return run_ending(
                self.machine, line, session, grace_s=grace_s, queue=self._endings
            )
        except (TimeoutError, LinkLost, ValueError) as exc:
            raise unreachable(self._login, exc) from exc

    def _end_or_admit(self, tag: str, cmd: Command, session: Session) -> Ended:
        """End a command's processes, or return that the end is unconfirmed."""
        end = partial(self._end, tag, GRACE_S, beside=session.link)
        try:
            return end_until_over(end, cmd, session)
        except HostUnreachable as exc:
            self.connection.close()
            return unconfirmed(self.machine, cmd, exc.message)

    def _remove(self, part: str, *, as_root: bool) -> None:
        """Remove the partial file of a cancelled copy, if still connected."""
        if not self.connection.is_alive():
            return
        remove = replace(command("rm", "-f", part), as_root=as_root)
        with contextlib.suppress(CommandFailed, HostUnreachable):
            self.run(remove, scope=Scope(), timeout_s=CLEAN_UP_S)
