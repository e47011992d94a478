"""Keep one SSH link per machine, and open channels on it from many threads.

The link is dialled on first use and again when it turned out dead before a command
was sent. Everything in paramiko that can block without an end happens on a thread of
its own, so that a cancelled caller leaves at once: opening a channel and asking for
the command wait for a peer that may be gone.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from typing import TypeVar

import paramiko

from orchestration.errors import Cancelled
from orchestration.transport.ssh.link import Link, TunnelSocket, connect_tcp
from orchestration.transport.ssh.login import Login, dial, reason_of, unreachable

logger = logging.getLogger(__name__)

POLL_S = 0.02
# A machine that is up accepts at once; three SYNs go out in this time. What comes
# after, the key exchange of a busy guest, may take all of `connect_timeout_s`.
ACCEPT_S = 5.0
# So long a machine that did not accept counts as silent for whoever asks next: one
# task after the other would wait for the same dead host again. Far less than a user
# takes to mend a host and to try again.
SILENT_S = 0.3
_T = TypeVar("_T")


class Wake(threading.Event):
    """An event that several paramiko objects set and only its owner clears."""

    def clear(self) -> None:
        """Do nothing: paramiko clears when one of the streams is empty."""

    def rearm(self) -> None:
        """Clear it, before looking at what came."""
        super().clear()


class Connection:
    """One machine's link; thread-safe."""

    def __init__(self, login: Login, via: "Connection | None" = None) -> None:
        self.login = login
        self._via = via
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._dialling: Future[Link] | None = None
        self._generation = 0
        self._users = 0
        self._used_at = time.monotonic()
        self._silent_at: float | None = None

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the connection from being taken for idle."""
        with self._lock:
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                self._used_at = time.monotonic()

    def close_if_idle(self, idle_s: float) -> bool:
        """Close the link unless it was used since. False: it was, or is."""
        with self._lock:
            if self._users or time.monotonic() - self._used_at < idle_s:
                return False
            link, self._link = self._link, None
            self._generation += 1
        if link is not None:
            link.close()
        return True

    def open(self, wake: Wake, is_stopped: Callable[[], bool]) -> paramiko.Channel:
        """Open a channel for one command; `wake` is set when something comes on it.

        Dials again, once, when the kept link turns out dead. Raises: Cancelled
        (`is_stopped` said so), HostUnreachable and its kinds.
        """
        kept = self._alive()
        if kept is not None:
            try:
                return self._open_on(kept, wake, is_stopped)
            except _Dead as dead:
                logger.info(
                    "Dialling %s again: %s",
                    self.login.machine,
                    reason_of(dead.reason),
                )
        try:
            return self._open_on(self._ensure(is_stopped), wake, is_stopped)
        except _Dead as dead:
            raise unreachable(self.login, dead.reason) from dead.reason

    def tunnel(self, address: str, port: int, timeout_s: float) -> TunnelSocket:
        """Open a TCP connection from this machine to another one.

        Raises: HostUnreachable (this machine), OSError (the other one).
        """
        link = self._ensure(lambda: False)
        return link.open_tunnel(address, port, timeout_s)

    def is_alive(self) -> bool:
        """Return whether a link is kept that is not known to be dead."""
        return self._alive() is not None

    def close(self) -> None:
        """Close the link; a later use dials again."""
        with self._lock:
            link, self._link = self._link, None
            self._generation += 1
        if link is not None:
            link.close()

    def _alive(self) -> Link | None:
        with self._lock:
            link = self._link
        return link if link is not None and link.is_active() else None

    def _ensure(self, is_stopped: Callable[[], bool]) -> Link:
        """Return the link; callers that find none share one dialling."""
        with self._lock:
            if self._link is not None and self._link.is_active():
                return self._link
            if self._dialling is None:
                self._dialling = _start(self._dial)
            dialling = self._dialling
        return _await(dialling, is_stopped)

    def _dial(self) -> Link:
        generation = self._generation
        try:
            link = self._dialled()
            with self._lock:
                is_wanted = generation == self._generation
                self._link = link if is_wanted else None
            if not is_wanted:
                link.close()
            return link
        finally:
            with self._lock:
                self._dialling = None

    def _dialled(self) -> Link:
        login = self.login
        connect = connect_tcp if self._via is None else self._via.tunnel
        timeout_s = login.connect_timeout_s
        if self._via is None:
            timeout_s = min(timeout_s, ACCEPT_S)
        self._require_not_silent()
        try:
            sock = connect(login.address, login.port, timeout_s)
        except OSError as exc:
            if isinstance(exc, TimeoutError):
                self._silent_at = time.monotonic()
            raise unreachable(login, exc) from exc
        return dial(login, sock)

    def _require_not_silent(self) -> None:
        since = self._silent_at
        if since is not None and time.monotonic() - since < SILENT_S:
            raise unreachable(self.login, TimeoutError("it was silent just now"))

    def _open_on(
        self, link: Link, wake: Wake, is_stopped: Callable[[], bool]
    ) -> paramiko.Channel:
        def open_session() -> paramiko.Channel:
            channel = link.open_command_channel(self.login.connect_timeout_s)
            channel.in_buffer.set_event(wake)
            channel.in_stderr_buffer.set_event(wake)
            channel.status_event = wake
            return channel

        try:
            return patiently(open_session, is_stopped, discard=release)
        except paramiko.ChannelException as exc:
            # The link lives, and so may other commands on it.
            raise unreachable(self.login, exc) from exc
        except (paramiko.SSHException, EOFError, OSError) as exc:
            self._drop(link)
            raise _Dead(exc) from exc

    def _drop(self, link: Link) -> None:
        with self._lock:
            if self._link is link:
                self._link = None
        link.close()


class _Dead(Exception):
    """A link on which no channel could be opened: nothing was sent."""

    def __init__(self, reason: Exception) -> None:
        super().__init__(str(reason))
        self.reason = reason


def patiently(
    work: Callable[[], _T],
    is_stopped: Callable[[], bool],
    *,
    discard: Callable[[_T], object] | None = None,
) -> _T:
    """Do what may block, but leave when told to; `discard` gets what comes too late.

    Raises: Cancelled, what `work` raises.
    """
    future = _start(work)
    try:
        return _await(future, is_stopped)
    except Cancelled:
        if discard is not None:
            future.add_done_callback(partial(_discard_late, discard))
        raise


@contextlib.contextmanager
def slot(
    slots: threading.BoundedSemaphore, is_stopped: Callable[[], bool]
) -> Iterator[None]:
    """Hold one of a bounded number of places. Raises: Cancelled (while waiting)."""
    while not slots.acquire(timeout=POLL_S):
        if is_stopped():
            raise Cancelled
    try:
        yield
    finally:
        slots.release()


def release(channel: paramiko.Channel) -> None:
    """Close a channel, dead or alive; what still runs on it is not ended by that."""
    with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
        channel.close()


def _discard_late(discard: Callable[[_T], object], future: Future[_T]) -> None:
    if future.exception() is None:
        discard(future.result())


def _start(work: Callable[[], _T]) -> Future[_T]:
    future: Future[_T] = Future()

    def target() -> None:
        try:
            future.set_result(work())
        except BaseException as exc:  # noqa: BLE001 - handed to whoever waits
            future.set_exception(exc)

    threading.Thread(target=target, name="ssh-patience", daemon=True).start()
    return future


def _await(future: Future[_T], is_stopped: Callable[[], bool]) -> _T:
    while True:
        try:
            return future.result(timeout=POLL_S)
        except TimeoutError:
            if future.done():
                raise
            if is_stopped():
                raise Cancelled from None
