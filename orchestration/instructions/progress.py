"""Measures how far a task is, how fast it goes, and how long the rest will take.

`Task.progress` feeds a `Reporter`, which limits the rate of reports. Its `Meter`
computes rate and remaining time from the last seconds. The engine asks it once more
each second, so that a copy that stands still is reported, and at the end of the task.
The web and the clients decide how a report is shown.
"""

import math
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass

APART_S = 0.25
WINDOW_S = 5.0
# An earlier rate would be that of one buffer; the second report has one.
FIRST_RATE_S = 0.2
# A window of seconds needs no samples closer together.
SAMPLE_S = 0.1
# Tools that print each percent are silent for long on a large disk: a task counts as
# standing still only after so many of its usual pauses, taken from so many samples.
KEPT_SAMPLES = 3
PAUSES = 4
LONGEST_LEFT_S = 100 * 3600
MEASURED_UNITS = frozenset({"B"})


@dataclass(frozen=True, slots=True)
class Reading:
    """A reported value: `rate` in units per second, 0 unknown; `left_s` may be None."""

    done: int
    total: int
    unit: str
    note: str
    rate: int = 0
    left_s: int | None = None

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left of a known total."""
        return self.total > 0 and self.done >= self.total


class Meter:
    """Rate and remaining time of one piece of work; not thread-safe.

    Work done before the first sample does not count: a resumed copy begins in the
    middle.
    """

    def __init__(self) -> None:
        self._samples: deque[tuple[float, int]] = deque()
        self._pause_s = 0.0

    def add(self, done: int, now: float) -> None:
        """Add a sample of the work done; a smaller one than before begins again."""
        samples = self._samples
        if samples and (done < samples[-1][1] or self.stands_still(now)):
            samples.clear()
        if len(samples) > 1 and now - samples[-2][0] < SAMPLE_S:
            samples.pop()
        samples.append((now, done))
        self._forget(now)
        if len(samples) > 1:
            self._pause_s = (now - samples[0][0]) / (len(samples) - 1)

    def stands_still(self, now: float) -> bool:
        """Return whether no sample came for much longer than usual."""
        if len(self._samples) < 2:
            return False
        silent_s = now - self._samples[-1][0]
        return silent_s > max(WINDOW_S, PAUSES * self._pause_s)

    def rate(self, now: float) -> float:
        """Return units per second of the last seconds; 0 while it is unknown."""
        self._forget(now)
        if not self._samples or self.stands_still(now):
            return 0.0
        since, before = self._samples[0]
        if now - since < FIRST_RATE_S:
            return 0.0
        return (self._samples[-1][1] - before) / (now - since)

    def _forget(self, now: float) -> None:
        samples = self._samples
        while len(samples) > KEPT_SAMPLES and samples[1][0] <= now - WINDOW_S:
            samples.popleft()


class Reporter:
    """Reports how far one task is, at a limited rate; thread-safe.

    The first report, another note or unit, and the end of the work are reported at
    once; everything else at most every APART_S. Equal reports are dropped.
    """

    def __init__(
        self,
        tell: Callable[[Reading], None],
        *,
        clock: Callable[[], float] | None = None,
    ) -> None:
        self._tell = tell
        self._clock = clock or time.monotonic
        self._lock = threading.Lock()
        self._meter = Meter()
        self._last: Reading | None = None
        self._told: Reading | None = None
        self._told_at = 0.0
        self._is_closed = False

    def report(self, done: int, total: int, *, unit: str, note: str) -> None:
        """Take the current amount of work done."""
        with self._lock:
            last, now = self._last, self._clock()
            new = Reading(done, total, unit, note)
            if self._is_closed or new == last:
                return
            self._last = new
            begins = last is None or (last.unit, last.note) != (unit, note)
            if begins or (last is not None and last.total != total):
                self._meter = Meter()
            self._meter.add(done, now)
            if begins or new.is_complete or now - self._told_at >= APART_S:
                self._say(now)

    def look_again(self) -> None:
        """Send a report that was held back, or a rate that changed with time."""
        with self._lock:
            now = self._clock()
            if not self._is_closed and now - self._told_at >= APART_S:
                self._say(now)

    def close(self) -> None:
        """Send a report that was held back, and none after it."""
        with self._lock:
            if not self._is_closed and self._last and not self._is_told(self._last):
                self._say(self._clock())
            self._is_closed = True

    def _say(self, now: float) -> None:
        if self._last is None:
            return
        reading = self._measured(self._last, now)
        if reading == self._told:
            return
        self._told, self._told_at = reading, now
        self._tell(reading)

    def _is_told(self, reading: Reading) -> bool:
        told = self._told
        return told is not None and (told.done, told.total, told.unit, told.note) == (
            reading.done,
            reading.total,
            reading.unit,
            reading.note,
        )

    def _measured(self, last: Reading, now: float) -> Reading:
        if last.unit not in MEASURED_UNITS:
            return last
        rate = self._meter.rate(now)
        return Reading(
            last.done,
            last.total,
            last.unit,
            last.note,
            round(rate),
            _left_s(last, rate),
        )


def _left_s(reading: Reading, rate: float) -> int | None:
    if reading.is_complete:
        return 0
    if not reading.total or rate <= 0:
        return None
    left_s = math.ceil((reading.total - reading.done) / rate)
    return left_s if left_s <= LONGEST_LEFT_S else None
