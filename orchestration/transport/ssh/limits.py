"""Bounds the memory that a peer's messages take; a peer that exceeds it is cut off.

paramiko neither counts what a peer sends against the window that it was granted, nor
bounds a packet: a guest's root with a server of his own filled a worker with 350 MiB/s.
link.py uses this for each connection.
"""

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING

import paramiko
from paramiko.packet import Packetizer

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# OpenSSH's own limit (PACKET_MAX_SIZE); data comes in packets of at most 32 KiB.
MAX_PACKET_BYTES = 256 * 1024


class LinkLost(Exception):
    """The connection ended before the command did."""


class ProtocolBroken(LinkLost, paramiko.SSHException):
    """The peer sent more than the SSH protocol lets it send."""


class BoundedPacketizer(Packetizer):
    """Reads packets of a bounded size; writes packets that belong together at once."""

    _held: bytearray | None = None

    @contextlib.contextmanager
    def together(self) -> Iterator[None]:
        """Write what is sent meanwhile, by any thread, in one piece at the end.

        For one thread at a time, which waits for nothing. Raises: EOFError.
        """
        self._held = bytearray()
        try:
            yield
        finally:
            with self._Packetizer__write_lock:  # type: ignore[attr-defined]
                held, self._held = self._held, None
                super().write_all(bytes(held))

    def write_all(self, out: "ReadableBuffer") -> None:
        """Write a packet or hold it. Called under the lock for writing."""
        if self._held is None:
            super().write_all(out)
        else:
            self._held += out

    def read_all(self, n: int, check_rekey: bool = False) -> bytes:
        """Read a part of a packet. Raises: ProtocolBroken, EOFError."""
        if n > MAX_PACKET_BYTES:
            raise ProtocolBroken(f"it announced a packet of {n} bytes")
        return super().read_all(n, check_rekey)


def take_data(channel: paramiko.Channel, m: paramiko.Message) -> None:
    """Buffer data of a channel. Raises: ProtocolBroken."""
    channel._feed(m)  # type: ignore[attr-defined]
    _require_within_window(channel)


def take_extended_data(channel: paramiko.Channel, m: paramiko.Message) -> None:
    """Buffer extended data of a channel. Raises: ProtocolBroken."""
    channel._feed_extended(m)  # type: ignore[attr-defined]
    _require_within_window(channel)


def _require_within_window(channel: paramiko.Channel) -> None:
    """Check what is buffered; the window grows only by what was read before."""
    buffered = len(channel.in_buffer) + len(channel.in_stderr_buffer)
    window: int = channel.in_window_size
    if buffered > window:
        raise ProtocolBroken(f"it sent {buffered} bytes into a window of {window}")
