"""The newest output of a console, by position; older output is forgotten."""

import threading
from typing import NamedTuple

_NO_BYTE = -1


class Piece(NamedTuple):
    """Output from a position on; the position is later than asked where it was cut."""

    position: int
    data: bytes


class Ring:
    """The last `size` bytes at least, twice as many at most; thread-safe."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._lock = threading.Lock()
        self._data = bytearray()
        self._end = 0

    @property
    def end(self) -> int:
        """The position after the newest byte."""
        return self._end

    def append(self, data: bytes) -> None:
        """Add output."""
        with self._lock:
            self._data += data
            self._end += len(data)
            if len(self._data) > 2 * self._size:
                del self._data[: -self._size]

    def put_before(self, past: bytes) -> None:
        """Put a log before the first output; what is in both is there once.

        For a ring that nobody has read; one that was cut stays as it is.
        """
        with self._lock:
            if len(self._data) == self._end:
                self._data[:0] = past[: len(past) - _overlap(past, self._data)]
                self._end = len(self._data)

    def read(self, position: int, most: int) -> Piece:
        """Return at most `most` bytes from a position, or from the oldest on."""
        with self._lock:
            start = self._end - len(self._data)
            position = max(position, start)
            begin = position - start
            return Piece(position, bytes(self._data[begin : begin + most]))


def _overlap(past: bytes, news: bytearray) -> int:
    """Return how many bytes end the one and begin the other.

    By the prefix function of Knuth, Morris and Pratt: its time is linear in the sizes,
    whatever a guest prints, while libvirt's thread waits for the lock.
    """
    size = min(len(past), len(news))
    both = [*news[:size], _NO_BYTE, *past[len(past) - size :]]
    borders = [0] * len(both)
    for i in range(1, len(both)):
        border = borders[i - 1]
        while border and both[i] != both[border]:
            border = borders[border - 1]
        borders[i] = border + (both[i] == both[border])
    return borders[-1]
