"""Whether compressing pays on a connection: samples of both, taken while it sends.

A stream begins plain. Its samples of the data tell what compressing would take and
leave; what went over the wire tells how fast the connection is. Only a comparison of
the two on this machine, now, says which is the narrower one; and where processors are
what everything waits for, compressing only makes it worse. Used by `stream.py`.
"""

import os
import time
from collections.abc import Callable
from pathlib import Path

# Compressing must promise to be so much faster: at 220 MB/s, which is as fast as
# paramiko sends, level 1 promises 0.75 for text; with 1 Gbit/s it promises 0.4.
WORTH = 0.6
# How many processors must have been idle. Where both ends shared two, 0.4 were, and
# compressed text took half as long again as plain; over 1 Gbit/s 1.4 were (measured).
SPARE = 0.75
# Of sending, before it is judged: at its beginning buffers take all at once.
WINDOW_S = 0.5
_TICKS = os.sysconf("SC_CLK_TCK")


def idle_s() -> float:
    """Return for how long this machine's processors have been idle, all together."""
    words = Path("/proc/stat").read_text().split(maxsplit=6)
    return (int(words[4]) + int(words[5])) / _TICKS


class Trial:
    """Sums of what was sampled and what was sent; each from one thread."""

    def __init__(
        self,
        *,
        idle: Callable[[], float] = idle_s,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._idle = idle
        self._clock = clock
        self._since = (idle(), clock())
        self._sampled = self._packed = self._sent = 0
        self._packing_s = self._sending_s = 0.0

    def add_sample(self, count: int, packed: int, seconds: float) -> None:
        """Take what compressing some of the data took, and how much was left of it."""
        self._sampled += count
        self._packed += packed
        self._packing_s += seconds

    def add_sent(self, count: int, seconds: float) -> None:
        """Take how long it took to send so much uncompressed data."""
        self._sent += count
        self._sending_s += seconds

    def pays(self) -> bool:
        """Judge once in each WINDOW_S of sending, by what was sent in it."""
        if self._sending_s < WINDOW_S or not (self._sent and self._sampled):
            return False
        plain_s = self._sending_s / self._sent
        (idle, at), self._since = self._since, (self._idle(), self._clock())
        spare = (self._since[0] - idle) / (self._since[1] - at)
        self._sent, self._sending_s = 0, 0.0
        packing_s = self._packing_s / self._sampled
        left_s = plain_s * self._packed / self._sampled
        return spare >= SPARE and max(packing_s, left_s) < WORTH * plain_s
