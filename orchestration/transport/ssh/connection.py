"""Keeps one SSH link per machine, and opens channels on it from many threads.

The link is dialled on first use, and again when it turned out dead before a command was
sent. A server that may drop the connection when commands run side by side gets a link
for each command (`Link.is_fragile`).
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from dataclasses import replace
from functools import partial

import paramiko

from orchestration.errors import (
    AuthenticationRefused,
    HostUnreachable,
    TemporarilyRefused,
)
from orchestration.transport.ssh.failures import (
    AUTHENTICATION_PAUSE_S,
    PAUSE_S,
    Failures,
)
from orchestration.transport.ssh.link import (
    ForwardingRefused,
    Link,
    QuickSocket,
    TunnelSocket,
    connect_tcp,
)
from orchestration.transport.ssh.login import (
    Keys,
    Limits,
    Login,
    dial,
    read_keys,
    reason_of,
    unreachable,
)
from orchestration.transport.ssh.waiting import await_future, cancellable, slot, start

logger = logging.getLogger(__name__)

# A machine that is up accepts at once; three SYNs go out in this time. The rest, the
# key exchange of a busy guest, may take all of `connect_timeout_s`.
ACCEPT_S = 5.0
# For this time a machine that did not accept counts as silent: otherwise one task after
# the other would wait for the same dead host again. It is far less than a user takes to
# repair a host and to try again.
SILENT_S = 0.3
# dropbear refuses a source with more than five logins at once.
SPARE_LOGINS = 3
# tcpmux: its own SSH server's port would see a connection that ends before a login.
_CLOSED_PORT = 1


class Wake(threading.Event):
    """An event that several paramiko objects set and only its owner clears."""

    def clear(self) -> None:
        """Do nothing: paramiko clears when one of the streams is empty."""

    def rearm(self) -> None:
        """Clear the event, before reading the streams."""
        super().clear()


class Connection:
    """One machine's link; thread-safe."""

    def __init__(
        self,
        login: Login,
        via: "Connection | None" = None,
        failures: Failures | None = None,
    ) -> None:
        self.login = login
        self._via = via
        self._failures = failures
        accept_s = login.connect_timeout_s
        if via is None:
            accept_s = min(accept_s, ACCEPT_S)
        self._limits = Limits(accept_s, accept_s, login.connect_timeout_s)
        self._asking = threading.Lock()
        self._lock = threading.Lock()
        self._link: Link | None = None
        self._dialling: Future[Link] | None = None
        self._generation = 0
        self._users = 0
        self._used_at = time.monotonic()
        self._silent_at: float | None = None
        self._spare_logins = threading.BoundedSemaphore(SPARE_LOGINS)

    @contextlib.contextmanager
    def in_use(self) -> Iterator[None]:
        """Keep the connection from counting as idle."""
        with self._lock:
            self._users += 1
        try:
            yield
        finally:
            with self._lock:
                self._users -= 1
                self._used_at = time.monotonic()

    def close_if_idle(self, idle_s: float) -> bool:
        """Close the link unless it was used within `idle_s`. False: it was, or is."""
        with self._lock:
            if self._users or time.monotonic() - self._used_at < idle_s:
                return False
            link = self._forget()
        if link is not None:
            link.close()
        return True

    def open(
        self, wake: Wake, is_stopped: Callable[[], bool], *, beside: Link | None = None
    ) -> paramiko.Channel:
        """Open a channel for one command; `wake` is set when something comes on it.

        Dials again, once, when the kept link turns out dead. `beside` is the link of a
        command that this one is about to end: it may be shared though it is fragile.
        Raises: Cancelled (`is_stopped` returned true), HostUnreachable and its kinds.
        """
        if beside is not None and not beside.is_active():
            beside = None
        kept = beside or self._alive()
        if kept is not None:
            try:
                return self._open_on(kept, wake, is_stopped, beside=beside)
            except _Dead as dead:
                logger.info(
                    "Dialling %s again: %s",
                    self.login.machine,
                    reason_of(dead.reason),
                )
        try:
            link = self._ensure(is_stopped)
            return self._open_on(link, wake, is_stopped)
        except _Dead as dead:
            raise unreachable(self.login, dead.reason) from dead.reason

    def require_answer(self, limits: Limits, is_stopped: Callable[[], bool]) -> None:
        """Check that the machine answers on the kept link, else log in.

        A new connection always logs in before it is closed: servers penalise others.
        Raises: Cancelled, HostUnreachable and its kinds.
        """
        link = self._alive()
        if link is None:
            self._ensure(is_stopped, limits)
            return
        cancellable(partial(self._require_answer_on, link, limits), is_stopped)

    def tunnel(self, address: str, port: int, timeout_s: float) -> TunnelSocket:
        """Open a TCP connection from this machine to another one.

        Raises: HostUnreachable (this machine), OSError (the other one).
        """
        link = self._ensure(lambda: False)
        return link.open_tunnel(address, port, timeout_s)

    def socket(self, path: str) -> paramiko.Channel:
        """Connect to a unix socket on this machine.

        Raises: HostUnreachable (this machine), OSError (the socket).
        """
        link = self._ensure(lambda: False)
        try:
            return link.open_socket(path, self.login.connect_timeout_s)
        except OSError as exc:
            if link.is_active():
                raise
            raise unreachable(self.login, exc) from exc

    def require_forwarding(self, timeout_s: float) -> None:
        """Check that the machine forwards connections, with one to a closed port.

        Raises: ForwardingForbidden, HostUnreachable (the machine itself).
        """
        login = replace(self.login, via=self.login.machine)
        try:
            self.tunnel("127.0.0.1", _CLOSED_PORT, timeout_s).close()
        except ForwardingRefused as exc:
            raise unreachable(login, exc) from exc
        except OSError as exc:
            logger.debug("%s tried to connect: %s", login.machine, exc)

    def is_alive(self) -> bool:
        """Return whether a link is kept that is not known to be dead."""
        return self._alive() is not None

    def close(self) -> None:
        """Close the link; a later use dials again."""
        with self._lock:
            link = self._forget()
        if link is not None:
            link.close()

    def _alive(self) -> Link | None:
        with self._lock:
            link = self._link
        return link if link is not None and link.is_active() else None

    def _require_answer_on(self, link: Link, limits: Limits) -> None:
        """Ask on a kept link; when it is silent, try a second one to find the cause."""
        with self._asking:
            self._require_not_silent()
            began = time.monotonic()
            if link.answers(limits.kept_s):
                return
            left_s = limits.accept_s - (time.monotonic() - began)
            self._replace(
                link, self._dialled(limits._replace(accept_s=max(left_s, 0.5)))
            )

    def _replace(self, old: Link, new: Link) -> None:
        """Keep the link that answers, unless the silent one is still in use."""
        with self._lock:
            is_unused = self._users == 0 and self._link is old
            if is_unused:
                self._link = new
        (old if is_unused else new).close()

    def _ensure(
        self, is_stopped: Callable[[], bool], limits: Limits | None = None
    ) -> Link:
        """Return the link; callers without one share one dialling."""
        with self._lock:
            if self._link is not None and self._link.is_active():
                return self._link
            if self._dialling is None:
                self._dialling = start(partial(self._dial, self._generation, limits))
            dialling = self._dialling
        return await_future(dialling, is_stopped)

    def _forget(self) -> Link | None:
        """Take the link, under the lock; later callers share no present dialling."""
        link, self._link = self._link, None
        self._dialling = None
        self._generation += 1
        return link

    def _dial(self, generation: int, limits: Limits | None) -> Link:
        try:
            link = self._dialled(limits)
            with self._lock:
                is_wanted = generation == self._generation
                if is_wanted:
                    self._link = link
            if not is_wanted:
                link.close()
            return link
        finally:
            with self._lock:
                if generation == self._generation:
                    self._dialling = None

    def _dialled(self, limits: Limits | None = None) -> Link:
        """Log in on a new connection; try again when the server refuses for now."""
        limits = limits or self._limits
        until = time.monotonic() + limits.banner_s
        while True:
            try:
                return self._dialled_once(limits)
            except TemporarilyRefused:
                if time.monotonic() + PAUSE_S > until:
                    raise
            time.sleep(PAUSE_S)

    def _dialled_once(self, limits: Limits) -> Link:
        self._require_not_silent()
        keys = read_keys(self.login)
        if self._failures is None:
            sock = self._connected(limits.accept_s)
            return dial(self.login, keys, sock, limits.banner_s)
        return self._counted(self._failures, keys, limits)

    def _counted(self, failures: Failures, keys: Keys, limits: Limits) -> Link:
        """Dial unless a connection just ended before its login; record such an end."""
        place, tried_at = self.login.place, time.time()
        failures.claim(place)
        try:
            sock = self._connected(limits.accept_s)
        except HostUnreachable:
            failures.release(place)
            raise
        try:
            link = dial(self.login, keys, sock, limits.banner_s)
        except HostUnreachable as exc:
            is_refused = isinstance(exc, AuthenticationRefused)
            pause_s = AUTHENTICATION_PAUSE_S if is_refused else PAUSE_S
            count = failures.note(place, exc, tried_at=tried_at, pause_s=pause_s)
            logger.info("%s: no login, %d in a row: %s", place, count, exc.message)
            raise
        failures.forget(place)
        return link

    def _connected(self, accept_s: float) -> QuickSocket | TunnelSocket:
        login = self.login
        connect = connect_tcp if self._via is None else self._via.tunnel
        try:
            return connect(login.address, login.port, accept_s)
        except OSError as exc:
            if isinstance(exc, TimeoutError):
                self._silent_at = time.monotonic()
            raise unreachable(login, exc) from exc

    def _require_not_silent(self) -> None:
        since = self._silent_at
        if since is not None and time.monotonic() - since < SILENT_S:
            raise unreachable(self.login, TimeoutError("it was silent just now"))

    def _open_on(
        self,
        link: Link,
        wake: Wake,
        is_stopped: Callable[[], bool],
        *,
        beside: Link | None = None,
    ) -> paramiko.Channel:
        """Open a channel on the link, or on one of its own if sharing could do harm."""
        if link is beside or not link.is_fragile:
            return self._opened(link, wake, is_stopped)
        if not link.take():
            with slot(self._spare_logins, is_stopped):
                link = cancellable(self._dialled, is_stopped, discard=Link.close)
            link.is_spare = link.take()
        channel = None
        try:
            channel = self._opened(link, wake, is_stopped)
        finally:
            link.hold_for(channel)
        return channel

    def _opened(
        self, link: Link, wake: Wake, is_stopped: Callable[[], bool]
    ) -> paramiko.Channel:
        limit_s = self.login.connect_timeout_s
        try:
            channel = link.open_command_channel(limit_s, is_stopped)
        except paramiko.ChannelException as exc:
            # The link lives, and so may other commands on it.
            raise unreachable(self.login, exc) from exc
        except (paramiko.SSHException, EOFError, OSError) as exc:
            self._drop(link)
            raise _Dead(exc) from exc
        channel.in_buffer.set_event(wake)
        channel.in_stderr_buffer.set_event(wake)
        channel.status_event = wake
        return channel

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


def release(channel: paramiko.Channel) -> None:
    """Close a channel, dead or alive; a command that still runs on it goes on."""
    with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
        channel.close()
    link = channel.get_transport()
    if isinstance(link, Link):
        link.give_back(channel)
