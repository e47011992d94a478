"""Reads a stream of pcap packets piece by piece, and keeps whole packets within a limit.

The stream comes from a host; its lengths are checked before anything is kept. A file
that ends with a whole packet is read by every program, also after a cancel.
"""

import struct
from collections.abc import Callable
from dataclasses import dataclass

from orchestration.errors import StateError
from orchestration.plan.captures import MOST_SNAPLEN

HEADER_BYTES, RECORD_BYTES = 24, 16
# Microseconds or nanoseconds, in either order of bytes.
_ORDERS = {
    b"\xd4\xc3\xb2\xa1": ("<", 10**6),
    b"\xa1\xb2\xc3\xd4": (">", 10**6),
    b"\x4d\x3c\xb2\xa1": ("<", 10**9),
    b"\xa1\xb2\x3c\x4d": (">", 10**9),
}


class LimitReached(Exception):
    """The next packet would be more than may be kept."""


@dataclass(frozen=True, slots=True)
class Packet:
    """A packet: when it passed, in seconds, its length there, and what was kept."""

    at: float
    length: int
    data: bytes


class PcapReader:
    """Passes whole packets on to `keep`, the header of the stream first."""

    def __init__(self, keep: Callable[[bytes], None], most_bytes: int) -> None:
        self._keep = keep
        self._most_bytes = most_bytes
        self._pending = bytearray()
        self._order, self._fraction = "", 1
        self.packets = 0
        self.size_bytes = 0
        self.last: list[Packet] = []

    def feed(self, data: bytes) -> None:
        """Take bytes as they come; `last` are the packets that these completed.

        Raises: LimitReached, StateError (it is no pcap).
        """
        self._pending += data
        self.last = []
        start = self._header()
        whole = start
        try:
            while self._order and (end := self._end_of_packet(whole)):
                self._count(whole, end)
                whole = end
        finally:
            if whole:
                self._keep(bytes(self._pending[:whole]))
                del self._pending[:whole]

    def _header(self) -> int:
        """Return the length of the stream's header if it stands first, and complete."""
        if self._order or len(self._pending) < HEADER_BYTES:
            return 0
        found = _ORDERS.get(bytes(self._pending[:4]))
        if found is None:
            raise StateError("The host sent no packets in the form of pcap.")
        self._order, self._fraction = found
        self.size_bytes += HEADER_BYTES
        return HEADER_BYTES

    def _end_of_packet(self, start: int) -> int:
        """Return where the packet at `start` ends; 0 while it is not complete."""
        if len(self._pending) < start + RECORD_BYTES:
            return 0
        kept = self._record(start)[2]
        if kept > MOST_SNAPLEN:
            raise StateError(f"The host sent a packet of {kept:,} bytes.")
        end = start + RECORD_BYTES + kept
        return end if len(self._pending) >= end else 0

    def _count(self, start: int, end: int) -> None:
        if self.size_bytes + end - start > self._most_bytes:
            raise LimitReached
        seconds, part, _, length = self._record(start)
        data = bytes(self._pending[start + RECORD_BYTES : end])
        self.last.append(Packet(seconds + part / self._fraction, length, data))
        self.packets += 1
        self.size_bytes += end - start

    def _record(self, start: int) -> tuple[int, int, int, int]:
        found: tuple[int, int, int, int] = struct.unpack_from(
            f"{self._order}IIII", self._pending, start
        )
        return found
