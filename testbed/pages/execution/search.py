"""Searches the outputs of a run for a text, in one pass and within bounds.

A run's outputs are gigabytes at worst, and the web serves all users from one process.
So a search ends with a budget of bytes and of time, and a user has one at a time: a
newer one ends the one before it. The page says how far a search came.
"""

import io
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from orchestration.instructions.execution.answers import read_line
from testbed.models import Run
from testbed.pages.execution.answers import (
    SHOWN_LINES,
    Block,
    Excerpt,
    Line,
    answer_file,
    shortened,
)

SEARCHED_BYTES = 64 * 1024 * 1024
SEARCHED_S = 5.0
PIECE_BYTES = 256 * 1024

_lock = threading.Lock()
_newest: dict[int, object] = {}


@dataclass(frozen=True, slots=True)
class Found:
    """The blocks that have the text, and the first lines of each that do, by its key.

    `searched_bytes` of `total_bytes` were read, all of them where `is_whole`.
    `is_replaced`: a newer search of the same user ended this one.
    """

    blocks: tuple[Block, ...]
    excerpts: Mapping[str, Excerpt]
    searched_bytes: int
    total_bytes: int
    is_whole: bool
    is_replaced: bool


@dataclass(slots=True)
class _Bounds:
    """How much more a search may read."""

    left_bytes: int
    deadline: float
    is_replaced: Callable[[], bool]
    are_reached: bool = False

    def allow(self, size_bytes: int) -> bool:
        """Count the bytes of a piece, and return whether it may be searched."""
        self.are_reached |= (
            size_bytes > self.left_bytes
            or time.monotonic() >= self.deadline
            or self.is_replaced()
        )
        self.left_bytes -= 0 if self.are_reached else size_bytes
        return not self.are_reached


def search(
    user_id: int,
    run: Run,
    blocks: Sequence[Block],
    text: str,
    *,
    most_bytes: int = SEARCHED_BYTES,
    most_s: float = SEARCHED_S,
) -> Found:
    """Return the blocks whose message or output has a text, in any case of letters."""
    wanted = text.casefold()
    excerpts: dict[str, Excerpt] = {}
    with _the_only_one(user_id) as is_replaced:
        bounds = _Bounds(most_bytes, time.monotonic() + most_s, is_replaced)
        for block in blocks:
            if excerpt := _excerpt(run, block, wanted, bounds):
                excerpts[block.key] = excerpt
        was_replaced = bounds.are_reached and is_replaced()
    return Found(
        blocks=tuple(
            block
            for block in blocks
            if block.key in excerpts or wanted in block.message.casefold()
        ),
        excerpts=excerpts,
        searched_bytes=most_bytes - bounds.left_bytes,
        total_bytes=sum(block.answer.size_bytes for block in blocks if block.answer),
        is_whole=not bounds.are_reached,
        is_replaced=was_replaced,
    )


@contextmanager
def _the_only_one(user_id: int) -> Iterator[Callable[[], bool]]:
    """Take the place of a user's search; yield whether another one has taken it."""
    mine = object()
    with _lock:
        _newest[user_id] = mine
    try:
        yield lambda: _newest.get(user_id) is not mine
    finally:
        with _lock:
            if _newest.get(user_id) is mine:
                del _newest[user_id]


def _excerpt(run: Run, block: Block, wanted: str, bounds: _Bounds) -> Excerpt | None:
    """Return the first lines with the text; None where no line has it."""
    path = answer_file(run, block.first)
    if bounds.are_reached or block.answer is None or not path.is_file():
        return None
    lines: list[Line] = []
    total = 0
    for line in _lines_with(path, wanted, bounds):
        total += 1
        if len(lines) < SHOWN_LINES:
            lines.append(shortened(line))
    return Excerpt(tuple(lines), total) if lines else None


def _lines_with(path: Path, wanted: str, bounds: _Bounds) -> Iterator[Line]:
    """Yield the lines that have a text, with their numbers.

    Whole pieces are searched first, which is twenty times as fast as their lines.
    """
    number = 0
    with path.open("rb") as file:
        while piece := file.read(PIECE_BYTES) + file.readline():
            count = piece.count(b"\n")
            if not bounds.allow(len(piece) - count):  # each line begins with a mark
                return
            if wanted not in piece.decode(errors="replace").casefold():
                number += count
                continue
            for raw in io.BytesIO(piece):
                number += 1
                if (line := read_line(raw)) and wanted in line[1].casefold():
                    yield number, *line
