"""The frames of a run → the state of its board: instructions, tasks, progress, lines.

Takes each frame once, in order, and keeps nothing that grows with the log. No terminal:
the command line and the text interface draw it.
"""

import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from orchestration.amounts import progress_line
from orchestration.terminal import plain
from testbed.client.watching import Frame, name_of


@dataclass(slots=True)
class Row:
    """One instruction: its resources, how many of them ended, and how it went.

    `status` is waiting, running, done, failed or cancelled.
    """

    index: int
    title: str
    total: int
    stage: str = ""
    status: str = "waiting"
    ended: int = 0
    failed: int = 0
    began_at: float = 0.0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Line:
    """A line to print: the resource that it is of, its stream, and its text."""

    resource: str
    stream: str
    text: str


@dataclass(slots=True)
class Board:
    """The state of a run as its frames have told it."""

    rows: dict[int, Row] = field(default_factory=dict)
    active: dict[tuple[str, str], str] = field(default_factory=dict)
    note: str = ""
    status: str = ""
    message: str = ""
    hint: str = ""
    clock: Callable[[], float] = time.monotonic

    @classmethod
    def of(cls, instructions: Iterable[Frame]) -> "Board":
        """Return the board of a plan."""
        rows = {
            one["index"]: Row(one["index"], plain(one["title"]), len(one["resources"]))
            for one in instructions
            if one["kind"] != "end"
        }
        return cls(rows)

    @property
    def current(self) -> Row | None:
        """The instruction that runs, or the last one that did."""
        begun = [row for row in self.rows.values() if row.status != "waiting"]
        return begun[-1] if begun else None

    def take(self, frame: Frame) -> list[Line]:
        """Take a frame; return the lines that it prints."""
        if frame["type"] == "event":
            return self._event(frame)
        if frame["type"] == "result":
            return self._result(frame)
        if frame["type"] == "run":
            self.status = str(frame["status"])
            self.message, self.hint = plain(frame["message"]), plain(frame["hint"])
            self.active.clear()
        return []

    def _event(self, frame: Frame) -> list[Line]:
        kind = frame["kind"]
        place = plain(name_of(frame)), plain(frame["host"] or "")
        if kind == "log":
            text = plain(frame["text"])
            return [Line(plain(name_of(frame)), frame["stream"], text)]
        if kind == "instruction-started":
            self._begin(frame)
        elif kind == "task-started":
            self.active[place] = ""
        elif kind == "task-progressed":
            self.active[place] = plain(progress_line(frame["data"]))
        elif kind == "task-finished":
            self.active.pop(place, None)
            self._end_task(frame)
        elif kind in ("waiting", "cancel-requested"):
            self.note = plain(frame["text"])
        return []

    def _begin(self, frame: Frame) -> None:
        row = self._row(frame["index"], frame["data"]["title"])
        row.status, row.stage = "running", plain(frame["data"]["stage"] or "")
        row.began_at = self.clock()

    def _end_task(self, frame: Frame) -> None:
        row = self._row(frame["index"], "")
        row.ended += 1
        row.failed += frame["data"]["status"] == "failed"

    def _result(self, frame: Frame) -> list[Line]:
        row = self._row(frame["index"], "")
        row.failed = sum(one["status"] == "failed" for one in frame["resources"])
        row.status = "failed" if row.failed else "cancelled"
        if frame["success"]:
            row.status = "done"
        row.seconds = self.clock() - row.began_at if row.began_at else 0.0
        row.ended = len(frame["resources"])
        self.active.clear()
        self.note = ""
        return [line for one in frame["resources"] for line in _problem(one)]

    def _row(self, index: int, title: str) -> Row:
        return self.rows.setdefault(index, Row(index, plain(title), 0))


def name_of_run(run: Frame) -> str:
    """Return a run's command as lists show it: `Up`, `Power: Reboot`, `Fetch: /etc`."""
    name, title = str(run["name"]), str(run["title"])
    begin, _, rest = title.partition(" ")
    more = rest if begin.casefold() == name.casefold() else title
    return f"{name}: {more}" if more else name


def _problem(entry: Frame) -> list[Line]:
    """Return the lines about a resource that did not go well."""
    if entry["status"] not in ("failed", "warning"):
        return []
    texts = [entry["message"], entry["hint"]]
    stream = "failed" if entry["status"] == "failed" else "warning"
    return [Line(plain(entry["name"]), stream, plain(text)) for text in texts if text]
