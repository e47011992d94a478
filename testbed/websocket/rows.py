"""`/ws/testbeds/`: the rows of one open list of testbeds, as they change.

A page names the rows that it shows, and gets the cells of those that change
(docs/protocol.md). The board reads and renders them once for all; here is asked who may
see which. Every frame and every tick asks again, and tells a page to load its rows when
there are other testbeds for its user.

Close codes: 4400 for a frame that is none, is binary or above 64 KiB; 4401 and 4429 as
in `consumer`; 1011 when a task failed.
"""

import asyncio
import time
from collections.abc import Collection
from dataclasses import dataclass, replace
from typing import Annotated, Literal

from channels.db import database_sync_to_async
from django.contrib.auth.models import User
from django.db.models import Count, Max
from django.template.loader import render_to_string
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from testbed.access.sessions import user_of_session
from testbed.access.visibility import PAGE_SIZE
from testbed.models import Testbed
from testbed.pages.listing.running import active_runs
from testbed.websocket.board import Beat, Board, Watcher
from testbed.websocket.follower import NOT_SIGNED_IN
from testbed.websocket.frames import MAX_FRAME_BYTES
from testbed.websocket.leaving import NOT_UNDERSTOOD, LeavingConsumer

_in_thread = database_sync_to_async

# A page rests so many times as long as its last frame took.
BUSY = 9
Number = Annotated[int, Field(ge=1, lt=2**63)]
Version = Annotated[str, Field(max_length=40)]


class ShowFrame(BaseModel):
    """The rows that a page shows from now on, each with the version that it has."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    type: Literal["show"]
    rows: Annotated[dict[Number, Version], Field(max_length=PAGE_SIZE)]


@dataclass(frozen=True, slots=True)
class Sight:
    """The testbeds and runs that a user sees at one moment.

    `rows` are those of the asked ones that are visible; `count` and `newest` are of all
    visible testbeds, `running` counts the runs that go on.
    """

    user: User | None
    rows: frozenset[int] = frozenset()
    count: int = 0
    newest: int = 0
    running: int = 0


class RowsConsumer(LeavingConsumer):
    """One page of the list of testbeds."""

    def __init__(self, *, board: Board) -> None:
        super().__init__()
        self._board = board
        self._watcher = Watcher()
        # Of two looks the later one counts.
        self._turn = asyncio.Lock()
        self._sight: Sight | None = None
        self._is_stale = self._has_other_count = False
        self._rests_until = 0.0

    async def connect(self) -> None:
        """Accept a signed-in user, who says what the page shows."""
        self._user = await _in_thread(user_of_session)(self._session)
        await self.accept()
        if self._user is None:
            await self._close(NOT_SIGNED_IN)
            return
        if not await self._enter(self._user):
            return
        self._board.enter(self._watcher)
        self._start(self._follow())
        self._start(self._tick())

    async def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None
    ) -> None:
        """Show the rows of a frame, as far as the user sees them."""
        await asyncio.sleep(self._rests_until - time.monotonic())
        if self._is_closed:
            return
        begun, text = time.monotonic(), text_data or ""
        is_large = len(text.encode(errors="replace")) > MAX_FRAME_BYTES
        if bytes_data is not None or is_large:
            await self._close(NOT_UNDERSTOOD, "Frames are JSON text of at most 64 KiB.")
            return
        try:
            frame = ShowFrame.model_validate_json(text)
        except ValidationError:
            await self._close(NOT_UNDERSTOOD, "This frame was not understood.")
            return
        sight = await self._look(frame.rows)
        if sight is None:
            return
        seen = {pk: v for pk, v in frame.rows.items() if pk in sight.rows}
        await self._board.show(self._watcher, seen)
        await self.scope["gate"].wait()
        await self._send({"type": "shown", "rows": len(seen)})
        now = time.monotonic()
        self._rests_until = now + rest_s(now - begun, self._board.beat)

    def _end(self) -> None:
        """Leave the board."""
        super()._end()
        self._board.leave(self._watcher)

    async def _follow(self) -> None:
        """Send what changed, when the client took what was sent before."""
        while True:
            await self._watcher.news.wait()
            await self.scope["gate"].wait()
            self._watcher.news.clear()
            if rows := self._watcher.take():
                await self._send_text(self._board.frame_of(rows))
            if self._has_other_count and self._sight:
                self._has_other_count = False
                context = {"running": self._sight.running}
                html = render_to_string("testbeds/listing/_running.html", context)
                await self._send({"type": "running", "html": html.strip()})
            if self._is_stale:
                self._is_stale = False
                await self._send({"type": "stale"})

    async def _tick(self) -> None:
        """Ask again what the user sees, until the user is gone."""
        while await self._look(self._watcher.shown):
            await asyncio.sleep(self._board.beat.check_s)

    async def _look(self, rows: Collection[int]) -> Sight | None:
        """Ask what the user sees of these rows; close where nobody is signed in."""
        async with self._turn:
            sight: Sight = await _in_thread(_sight)(self._session, rows)
            if sight.user is None:
                await self._close(NOT_SIGNED_IN)
                return None
            lost = self._watcher.shown.intersection(rows) - sight.rows
            self._watcher.shown -= lost
            self._is_stale |= bool(lost)
            self._compare(sight)
        return sight

    def _compare(self, sight: Sight) -> None:
        """Note what has to be said of all testbeds since the last look."""
        before, self._sight = self._sight, sight
        if before is None or sight.running != before.running:
            self._has_other_count = True
        if before and (sight.count, sight.newest) != (before.count, before.newest):
            self._is_stale = True
        if self._is_stale or self._has_other_count:
            self._watcher.news.set()


def rest_s(spent_s: float, beat: Beat) -> float:
    """Return the seconds until the next frame of a page whose last one took so long.

    One that sends all the time has a tenth of the time that others have to wait for.
    """
    return min(max(beat.least_s, BUSY * spent_s), beat.check_s)


def _sight(session: str, rows: Collection[int]) -> Sight:
    user = user_of_session(session)
    if user is None:
        return Sight(None)
    visible = Testbed.objects.all().visible_to(user)
    seen = visible.filter(pk__in=rows).values_list("pk", flat=True) if rows else ()
    all_of = visible.order_by().aggregate(count=Count("pk"), newest=Max("pk"))
    sight = Sight(user, frozenset(seen), all_of["count"], all_of["newest"] or 0)
    return replace(sight, running=active_runs(user).count())
