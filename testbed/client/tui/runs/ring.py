"""The last lines of a log, and which of them a reader of it wants to see. Pure."""

import threading
from dataclasses import dataclass
from fnmatch import fnmatch

from testbed.client.board.model import Line

MOST_LINES = 10_000


@dataclass(frozen=True, slots=True)
class Wanted:
    """A filter: a part or pattern of the resource, and a part of the text."""

    resource: str = ""
    text: str = ""

    def __bool__(self) -> bool:
        return bool(self.resource or self.text)

    def takes(self, line: Line) -> bool:
        """Return whether a line is wanted; large and small letters are the same."""
        name, wish = line.resource.lower(), self.resource.lower()
        is_pattern = any(sign in wish for sign in "*?[")
        if wish and not (fnmatch(name, wish) if is_pattern else wish in name):
            return False
        return self.text.lower() in line.text.lower()


class Ring:
    """At most `most` lines; one thread adds, another one reads what it has not seen."""

    def __init__(self, most: int = MOST_LINES) -> None:
        self.most = most
        self._lines: list[Line] = []
        self._dropped = 0
        self._lock = threading.Lock()

    @property
    def total(self) -> int:
        """How many lines were ever added."""
        with self._lock:
            return self._dropped + len(self._lines)

    def add(self, lines: list[Line]) -> None:
        """Add lines; the oldest ones give way, many at once."""
        with self._lock:
            self._lines += lines
            excess = len(self._lines) - self.most
            if excess > self.most // 10:
                del self._lines[:excess]
                self._dropped += excess

    def after(self, seen: int) -> tuple[list[Line], int]:
        """Return the kept lines after the first `seen` ones, and how many there were."""
        with self._lock:
            begin = max(seen - self._dropped, len(self._lines) - self.most, 0)
            return self._lines[begin:], self._dropped + len(self._lines)
