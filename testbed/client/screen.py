"""Prints a run's frames as lines that a person can follow in a terminal.

Guests and hosts decide much of the text: each line is printed without terminal codes
and with its other control characters made visible, as pages show it.
"""

import sys
import time
from typing import TextIO

from orchestration.amounts import progress_line
from orchestration.terminal import plain, plain_lines
from testbed.client.watching import Frame, name_of

PROGRESS_EVERY_S = 2.0
DETAIL_LINES = 8  # the rest is on the run's page
MARKS = {
    "done": "ok",
    "unchanged": "=",
    "warning": "!",
    "failed": "FAILED",
    "cancelled": "cancelled",
}


def say(text: str, *, to: TextIO | None = None) -> None:
    """Print one or more lines, whoever wrote them."""
    out = to or sys.stdout
    out.write(f"{plain_lines(text)}\n")
    out.flush()


class Lines:
    """Prints the output of guests as it comes, each line behind its guest's name.

    Standard error, and the words of the testbed itself, go to the other stream.
    """

    def __init__(self, out: TextIO | None = None, err: TextIO | None = None) -> None:
        self._out, self._err = out or sys.stdout, err or sys.stderr

    def show(self, frame: Frame) -> None:
        """Print the line of a frame that has one."""
        if frame["type"] == "event" and frame["kind"] == "log":
            to = self._out if frame["stream"] == "stdout" else self._err
            say(f"{name_of(frame)}: {plain(frame['text'])}", to=to)


class Screen:
    """Prints frames; `show` takes one."""

    def __init__(self, instructions: tuple[Frame, ...]) -> None:
        self._titles = {entry["index"]: entry["title"] for entry in instructions}
        self._shown_at: dict[tuple[str, str], float] = {}
        self._details: dict[tuple[int, str], str] = {}

    def show(self, frame: Frame) -> None:
        """Print one frame; a result stands for its resources."""
        if frame["type"] == "event" and frame["kind"] == "instruction-started":
            say(f"  {self._titles.get(frame['index'], '')}")
        elif frame["type"] == "event" and frame["kind"] == "log":
            say(f"      {name_of(frame)} | {plain(frame['text'])}")
        elif frame["type"] == "event" and frame["kind"] == "task-progressed":
            self._progress(frame)
        elif frame["type"] == "event" and frame["kind"] == "task-finished":
            place = (frame["index"], name_of(frame))
            self._details[place] = frame["data"]["detail"]
        elif frame["type"] == "result":
            self._result(frame)
        elif frame["type"] == "ack" and not frame["valid"]:
            say(f"  not accepted: {plain(frame['message'])}")

    def _progress(self, frame: Frame) -> None:
        """Print a copy's progress, at a limited rate."""
        now, place = time.monotonic(), (name_of(frame), frame["host"])
        shown_at = self._shown_at.setdefault(place, now)
        if frame["data"]["unit"] == "B" and now - shown_at >= PROGRESS_EVERY_S:
            self._shown_at[place] = now
            line = progress_line(frame["data"])
            say(f"      {name_of(frame)} on {frame['host']} | {line}")

    def _result(self, frame: Frame) -> None:
        for entry in frame["resources"]:
            mark = MARKS.get(entry["status"], entry["status"])
            text = f"    {mark:<6} {entry['name']} ({entry['seconds']:.1f} s)"
            say(f"{text} {plain(entry['message'])}".rstrip())
            if entry["status"] == "failed" and entry["hint"]:
                say(f"           {plain(entry['hint'])}")
            if entry["status"] == "failed":
                self._detail(self._details.get((frame["index"], entry["name"]), ""))

    def _detail(self, detail: str) -> None:
        """Print the end of what stood behind a failure."""
        for line in detail.splitlines()[-DETAIL_LINES:]:
            say(f"           | {plain(line)}")
