"""The changing cells of lists' rows: read and rendered once for all browsers of a process.

A `Watcher` is one open list; it names the rows that it shows. While there is one, the
board reads the rows of runs that ring and, each few seconds, all that are shown: a bell
may be lost, and looks at the hosts have none. A row that changed is rendered once, with
what is the same for all roles, and its watchers learn its number. They ask for the frame
when they can send, so that a slow browser gets the newest only. Who may see which rows
is `rows.py`'s to ask.
"""

import asyncio
import json
import logging
import time
from collections.abc import Collection, Coroutine, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from channels.db import database_sync_to_async

from testbed.models import Run, Testbed
from testbed.pages.listing.rows import rows_of
from testbed.pages.listing.shown import Cells, cells_of
from testbed.runs import doorbell

logger = logging.getLogger(__name__)
_in_thread = database_sync_to_async


@dataclass(frozen=True, slots=True)
class Beat:
    """Rows of runs that ring are read at most each `least_s`, all of them each `all_s`.

    The user of a list is asked for again each `check_s`: what is taken away ends within
    five seconds.
    """

    least_s: float = 0.5
    all_s: float = 4.0
    check_s: float = 4.0


class Watcher:
    """One open list: the numbers of the rows that it shows, and of those that changed."""

    def __init__(self) -> None:
        self.shown: frozenset[int] = frozenset()
        self.news = asyncio.Event()
        self._moved: frozenset[int] = frozenset()

    def tell(self, moved: Collection[int]) -> None:
        """Note rows that changed, as far as they are shown."""
        if seen := self.shown.intersection(moved):
            self._moved |= seen
            self.news.set()

    def take(self) -> frozenset[int]:
        """Return the rows that changed since the last call and are still shown."""
        moved, self._moved = self._moved & self.shown, frozenset()
        return moved


class Board:
    """The cells of all rows that the lists of one process show."""

    def __init__(self, beat: Beat) -> None:
        self.beat = beat
        self._watchers: set[Watcher] = set()
        self._cells: dict[int, Cells] = {}
        self._frames: dict[frozenset[int], str] = {}
        self._rung: set[int] = set()
        self._tasks: list[asyncio.Task[None]] = []

    def enter(self, watcher: Watcher) -> None:
        """Count a watcher; with the first one the board begins to read."""
        self._watchers.add(watcher)
        if not self._tasks:
            self._news, self._turn = asyncio.Event(), asyncio.Lock()
            self._start(doorbell.listen_to_all(self._ring))
            self._start(self._go_round())

    def leave(self, watcher: Watcher) -> None:
        """Count a watcher no longer; after the last one nothing is read or kept."""
        self._watchers.discard(watcher)
        if self._watchers:
            return
        for task in self._tasks:
            task.cancel()
        self._tasks = []
        for kept in (self._cells, self._frames, self._rung):
            kept.clear()

    async def show(self, watcher: Watcher, versions: Mapping[int, str]) -> None:
        """Let a watcher show these rows, and tell it of those with another version.

        They are read first: the page may be newer than the board, which hears no bell
        of an end that was extended.
        """
        watcher.shown = frozenset(versions)
        self._forget_others()
        if others := self._others(versions):
            await self._read(frozenset(others))
            watcher.tell(others & self._cells.keys() & self._others(versions))

    def _others(self, versions: Mapping[int, str]) -> set[int]:
        """Return the rows of which the board has another version, or none."""
        cells = self._cells
        return {
            pk
            for pk, version in versions.items()
            if pk not in cells or cells[pk].version != version
        }

    def frame_of(self, rows: frozenset[int]) -> str:
        """Return the frame with the cells of rows, the same text for all who ask."""
        if rows not in self._frames:
            found = (self._cells[pk].html for pk in sorted(rows) if pk in self._cells)
            frame = {"type": "rows", "html": "".join(found)}
            self._frames[rows] = json.dumps(frame, ensure_ascii=False)
        return self._frames[rows]

    def _ring(self, run: int) -> None:
        self._rung.add(run)
        self._news.set()

    async def _go_round(self) -> None:
        all_at = time.monotonic() + self.beat.all_s
        while True:
            begun = time.monotonic()
            is_all = begun >= all_at
            if is_all:
                all_at = begun + self.beat.all_s
            self._news.clear()
            rung, self._rung = frozenset(self._rung), set()
            try:
                await self._look(rung, is_all=is_all)
            except Exception:  # the task's border: the next look is soon
                logger.exception("the rows of lists were not read")
            await asyncio.sleep(begun + self.beat.least_s - time.monotonic())
            # Python 3.11's wait_for loses a cancel that comes together with the news.
            with suppress(TimeoutError):
                async with asyncio.timeout(max(0, all_at - time.monotonic())):
                    await self._news.wait()

    async def _look(self, rung: frozenset[int], *, is_all: bool) -> None:
        shown = self._shown()
        if shown and not is_all:
            shown &= await _in_thread(_testbeds_of)(rung)
        if shown:
            await self._read(shown)

    async def _read(self, rows: frozenset[int]) -> None:
        """Read rows, and tell the watchers of those that changed."""
        async with self._turn:
            found = await _in_thread(_read)(rows)
            moved = [
                pk
                for pk, cells in found.items()
                if pk in self._cells and self._cells[pk].version != cells.version
            ]
            self._cells |= found
            self._forget_others()
        for watcher in self._watchers if moved else ():
            watcher.tell(moved)

    def _forget_others(self) -> None:
        """Keep the cells of rows that are shown; of others nothing is read any more."""
        shown = self._shown()
        self._cells = {pk: cells for pk, cells in self._cells.items() if pk in shown}
        self._frames.clear()

    def _shown(self) -> frozenset[int]:
        return frozenset().union(*(watcher.shown for watcher in self._watchers))

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        self._tasks.append(asyncio.create_task(work))


def _testbeds_of(runs: Collection[int]) -> frozenset[int]:
    """Return the testbeds of runs."""
    found = Run.objects.filter(pk__in=runs) if runs else Run.objects.none()
    return frozenset(found.order_by().values_list("testbed", flat=True))


def _read(rows: Collection[int]) -> dict[int, Cells]:
    """Read the rows of those testbeds that are there."""
    testbeds = Testbed.objects.filter(pk__in=rows).select_related("expiry")
    return {row.testbed.pk: cells_of(row) for row in rows_of(list(testbeds))}
