"""One kept connection to the libvirt daemon of a testbed host.

`simulated.open_connection` makes one per host; the other modules send their calls
through it from many threads. It opens at the first call, opens again when the daemon
went away, and turns every libvirtError into one of our errors: nothing above this
package ever sees the binding. Calls to a remote host travel through ssh, whose
keepalive (see `remote`) ends a call to a host that fell silent.
"""

import logging
import os
import threading
import time
import weakref
from collections.abc import Callable
from typing import TypeVar

import libvirt

from orchestration.errors import HostUnreachable, TestbedError
from orchestration.providers.libvirt import events
from orchestration.providers.libvirt.remote import system_uri
from orchestration.providers.libvirt.translate import (
    call_failed,
    is_connection_lost,
    open_failed,
)

__all__ = ["Connection", "is_test_driver", "system_uri"]

T = TypeVar("T")
logger = logging.getLogger(__name__)

IDLE_S = 1.0
"""A connection that was silent for longer is asked whether it lives before its use:
isAlive() learns of a daemon's death only by a call. The question costs 0.1 ms."""


class Connection:
    """A libvirt connection that is opened late, kept, and replaced when it died.

    `machine` is the host's name in errors; `prepare` runs before each opening.
    Thread-safe: one thread opens while the others wait for it, calls run at once.
    """

    def __init__(
        self,
        uri: str,
        *,
        machine: str,
        prepare: Callable[[], None] | None = None,
    ) -> None:
        self.uri = uri
        self.machine = machine
        self._prepare = prepare
        self._handle: libvirt.virConnect | None = None
        self._lock = threading.Lock()
        self._last_use = 0.0
        self._attempts = 0
        self._failure: TestbedError | None = None
        _connections.add(self)

    def call(
        self, what: str, fn: Callable[[libvirt.virConnect], T], *, changes: bool = False
    ) -> T:
        """Run `fn` on the open connection and return what it returns.

        `what` completes "could not …": "start domain lab-web". A call that found
        its connection dead is sent once more on a new one, unless it `changes`
        something and may have arrived. Raises: HostUnreachable, LibvirtFailed.
        """
        handle = self._ensure_open()
        try:
            return self._send(handle, fn)
        except libvirt.libvirtError as error:
            if not is_connection_lost(error, handle):
                raise call_failed(error, what=what, machine=self.machine) from error
            self._drop(handle)
            if changes:
                raise _lost(error, what=what, machine=self.machine) from error
            logger.info("libvirt on %s went away, connecting again", self.machine)
        handle = self._ensure_open()
        try:
            return self._send(handle, fn)
        except libvirt.libvirtError as error:
            if is_connection_lost(error, handle):
                self._drop(handle)
                raise _lost(error, what=what, machine=self.machine) from error
            raise call_failed(error, what=what, machine=self.machine) from error

    def is_alive(self) -> bool:
        """Return whether the connection is open, as far as is known without a call."""
        with self._lock:
            handle = self._handle
        try:
            return handle is not None and handle.isAlive() == 1
        except libvirt.libvirtError:
            return False

    def close(self) -> None:
        """Drop the connection; a second call does nothing, a later `call` opens again.

        Calls that are under way in other threads keep it until they end.
        """
        with self._lock:
            self._handle = None

    def _send(
        self, handle: libvirt.virConnect, fn: Callable[[libvirt.virConnect], T]
    ) -> T:
        result = fn(handle)
        self._last_use = time.monotonic()
        return result

    def _ensure_open(self) -> libvirt.virConnect:
        attempts = self._attempts
        with self._lock:
            if self._handle is not None and self._answers(self._handle):
                return self._handle
            self._handle = None
            if self._attempts != attempts and self._failure is not None:
                # Another thread just tried and failed: fifty threads that each wait for
                # the same dead host would need fifty timeouts.
                raise self._failure
            try:
                self._handle = self._open()
            except TestbedError as error:
                self._failure = error
                raise
            finally:
                # Counted at the end: callers that arrive meanwhile share the outcome.
                self._attempts += 1
            self._failure = None
            return self._handle

    def _answers(self, handle: libvirt.virConnect) -> bool:
        if time.monotonic() - self._last_use < IDLE_S:
            return True
        try:
            if handle.isAlive() != 1:
                return False
            handle.getLibVersion()
        except libvirt.libvirtError:
            return False
        self._last_use = time.monotonic()
        return True

    def _open(self) -> libvirt.virConnect:
        if self._prepare is not None:
            self._prepare()
        if not self.uri.startswith("test:"):
            events.start()
        try:
            handle = libvirt.open(self.uri)
        except libvirt.libvirtError as error:
            raise open_failed(error, machine=self.machine) from error
        self._last_use = time.monotonic()
        return handle

    def _drop(self, handle: libvirt.virConnect) -> None:
        with self._lock:
            if self._handle is handle:
                self._handle = None

    def _disown(self) -> None:
        """Drop, without closing, the connection that the parent process opened.

        After a fork both processes hold the same socket: a call, or the close that the
        binding sends when its object dies, would talk in the parent's name.
        """
        if self._handle is not None:
            self._handle._o = None
        self._handle = None
        self._lock = threading.Lock()
        self._failure = None


def is_test_driver(handle: libvirt.virConnect) -> bool:
    """Return whether this is the test driver, which lacks a few calls and flags."""
    return bool(handle.getType() == "TEST")


def _lost(error: libvirt.libvirtError, *, what: str, machine: str) -> HostUnreachable:
    return HostUnreachable(
        f"Host {machine} went away while we asked it to {what}.",
        hint="Look whether libvirtd runs there, then do it again.",
        detail=str(error),
        retryable=True,
    )


_connections: "weakref.WeakSet[Connection]" = weakref.WeakSet()


def _disown_all() -> None:
    for connection in list(_connections):
        connection._disown()


def _ignore(_context: object, _error: object) -> None:
    """Keep libvirt from printing errors: they arrive as exceptions anyway."""


os.register_at_fork(after_in_child=_disown_all)
libvirt.registerErrorHandler(_ignore, None)
