"""Bounds how much output of one task becomes lines of the run's log.

`Task.log` writes through it. The first lines are kept until the budget is spent, later
ones are counted, and the last of them follow at the task's end, because that is where a
script says why it failed. The engine's own lines are few and always kept.
"""

import threading
from collections import deque
from collections.abc import Callable

from orchestration.amounts import size
from orchestration.events import Stream

DEFAULT_BYTES = 8 * 1024 * 1024
# What a line takes in the database besides its text: 31,515 lines/s of `hello` took
# 20.4 GiB an hour.
LINE_BYTES = 190
LAST_LINES = 100
LAST_CHARACTERS = 64 * 1024

Line = tuple[Stream, str]


class BoundedLog:
    """Passes a task's lines on to `tell` within a budget; thread-safe."""

    def __init__(
        self, tell: Callable[[Stream, str], None], budget_bytes: int = DEFAULT_BYTES
    ) -> None:
        self._tell = tell
        self._budget_bytes = budget_bytes
        self._left_bytes = budget_bytes
        self._lock = threading.Lock()
        self._held: deque[Line] = deque()
        self._held_characters = 0
        self._dropped = 0
        self._is_full = False

    def add(self, stream: Stream, text: str) -> None:
        """Take one line."""
        if stream is Stream.INFO:
            self._tell(stream, text)
            return
        with self._lock:
            if not self._is_full:
                self._left_bytes -= _bytes_of(text) + LINE_BYTES
                if self._left_bytes >= 0:
                    self._tell(stream, text)
                    return
                self._is_full = True
                self._tell(Stream.INFO, self._full_words())
            self._hold(stream, text)

    def close(self) -> None:
        """Tell how many lines were not kept, and the last ones."""
        with self._lock:
            if self._dropped:
                self._tell(Stream.INFO, _cut_words(self._dropped))
            for stream, text in self._held:
                self._tell(stream, text)
            self._held.clear()

    def _hold(self, stream: Stream, text: str) -> None:
        self._held.append((stream, text))
        self._held_characters += len(text)
        while len(self._held) > LAST_LINES or self._held_characters > LAST_CHARACTERS:
            _, gone = self._held.popleft()
            self._held_characters -= len(gone)
            self._dropped += 1

    def _full_words(self) -> str:
        return (
            f"The log of this task is full ({size(self._budget_bytes)}). The work goes "
            "on; the last lines of its output follow when it ends."
        )


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode(errors="replace"))


def _cut_words(count: int) -> str:
    lines = "1 line was" if count == 1 else f"{count:,} lines were"
    return f"Cut here: {lines} not kept."
