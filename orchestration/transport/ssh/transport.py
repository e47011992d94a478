"""A machine behind SSH: the Transport that providers and instructions use.

Implements the protocol of base.py over one kept connection with many channels; `via`
sends that connection through another machine's. Processes of a command are ended over a
second channel: closing the first ends none of them.
"""

import contextlib
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path

from orchestration.errors import ConsoleUnavailable, HostUnreachable
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
from orchestration.transport.processes.ending import end_line, unconfirmed
from orchestration.transport.processes.long_lines import request_of
from orchestration.transport.processes.tags import tag_of, wrap_line
from orchestration.transport.ssh import sockets
from orchestration.transport.ssh.connection import Connection, Wake
from orchestration.transport.ssh.ending import (
    EndingQueue,
    end_until_over,
    run_ending,
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
)
from orchestration.transport.ssh.terminal import Terminal, open_shell
from orchestration.transport.ssh.waiting import slot
from orchestration.transport.streams import Stream

# sshd allows 10 sessions per connection (MaxSessions); two are kept for ending.
SESSIONS = 8
ENDING_SESSIONS = 2
GRACE_S = 0.3


class SSHTransport(StreamedFiles):
    """Runs commands and copies files on a machine with an SSH server.

    `host_key` is the pinned public key line, `failures` the ledger of connections that
    ended before a login (None: not counted). Connects on first use, once for all
    threads, and again when the kept connection turns out dead before a command was
    sent; a command that may have run is never sent twice.
    """

    piece_bytes = CHUNK_BYTES

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
        running = Running(cmd, self.machine, on_line, on_bytes)
        try:
            code = self._execute(
                cmd, feed, running.sinks, scope=scope, timeout_s=timeout_s
            )
        except TimeUp:
            raise running.timed_out(timeout_s) from None
        if code != 0:
            # The cancel of another command of the task may have ended this one, too.
            scope.check_cancelled()
        return running.ended(code, check=check)

    def open_terminal(self, columns: int, rows: int, *, scope: Scope) -> Terminal:
        """Open a login shell on a terminal of this size.

        Raises: Cancelled, ConsoleUnavailable, HostUnreachable and its kinds.
        """
        if not self._sessions.acquire(blocking=False):
            raise ConsoleUnavailable(
                f"{SESSIONS} shells are open on {self.machine}.", hint="Close one."
            )
        with contextlib.ExitStack() as held:
            held.callback(self._sessions.release)
            held.enter_context(self.connection.in_use())
            channel = open_shell(
                self.connection, columns, rows, is_stopped=scope.stop.is_set
            )
            return Terminal(channel, done=held.pop_all().close)

    def open_socket(self, path: str) -> Stream:
        """Connect to a unix socket there, as root.

        Raises: ConsoleUnavailable, HostUnreachable and its kinds.
        """
        if self._login.user == "root":
            return sockets.connect(self.connection, path)
        return sockets.connect_with_sudo(self.connection, path, slots=self._sessions)

    def end(self, tag_prefix: str, *, grace_s: float = GRACE_S) -> Ended:
        """End every process that carries the tag; see Transport.end.

        Takes seconds at most, of a busy guest up to 26, once it is its turn (see
        `EndingQueue`). Raises: HostUnreachable.
        """
        return self._end(tag_prefix, grace_s)

    def is_connected(self) -> bool:
        """Return whether a connection is kept."""
        return self.connection.is_alive()

    def close(self) -> None:
        """Close the connection; a second call does nothing."""
        self.connection.close()

    def _execute(
        self,
        cmd: Command,
        feed: Iterator[bytes] | None,
        sinks: tuple[Sink, Sink],
        *,
        scope: Scope,
        timeout_s: float,
    ) -> int:
        scope.check_cancelled()
        tag = tag_of(scope)
        sudo = cmd.as_root and self._login.user != "root"
        line, before = request_of(wrap_line(cmd, tag, sudo=sudo), tag)
        has_input = bool(feed or before or cmd.stdin)
        stdin = copying.cut(chain((before,), feed or (cmd.stdin,)), CHUNK_BYTES)
        deadline = time.monotonic() + timeout_s
        is_stopped = scope.stop.is_set
        with self._session(sinks, is_stopped, slots=self._sessions) as session:
            scope.entered.add(self)
            try:
                session.start(line, is_stopped, has_input=has_input)
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
