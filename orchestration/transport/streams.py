"""An open connection to a unix socket of a machine, for the consoles in the browser.

Made by `Hosts.open_screen`: main's sockets come from libvirt, another host's through
its SSH connection. An unread stream waits: nothing is kept here.
"""

import contextlib
import socket
from collections.abc import Callable
from typing import Protocol

_READ_BYTES = 64 * 1024


class Socket(Protocol):
    """A socket, or a channel of an SSH connection."""

    def recv(self, size: int, /) -> bytes:
        """Return the next bytes, none after the end."""

    def sendall(self, data: bytes, /) -> None:
        """Send all bytes."""

    def shutdown(self, how: int, /) -> None:
        """End both directions, and wake who waits for them."""

    def close(self) -> None:
        """Close."""


class Stream:
    """Its methods block and are thread-safe; `done` is called once after the end."""

    def __init__(self, sock: Socket, done: Callable[[], None] | None = None) -> None:
        self._sock = sock
        self._done = contextlib.ExitStack()
        if done is not None:
            self._done.callback(done)

    def read(self) -> bytes:
        """Return the next bytes, none after the end."""
        try:
            return self._sock.recv(_READ_BYTES)
        except (EOFError, OSError):
            return b""

    def write(self, data: bytes) -> None:
        """Send; returns when all is sent, or the stream has ended."""
        with contextlib.suppress(EOFError, OSError):
            self._sock.sendall(data)

    def close(self) -> None:
        """Close. A second call does nothing."""
        with contextlib.suppress(EOFError, OSError):
            self._sock.shutdown(socket.SHUT_RDWR)
        with contextlib.suppress(EOFError, OSError):
            self._sock.close()
        self._done.close()
