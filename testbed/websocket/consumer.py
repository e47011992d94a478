"""`/ws/orchestration/<run>/`: the orchestration protocol of docs/protocol.md.

Frames become calls of `runs`; results are read back as rows, woken by the doorbell and,
because a bell may be lost, by a slow timer. Every frame and every tick checks the user
again. Nothing here knows hosts, Celery or the channel layer's messages.

Close codes: 4400 for a binary frame, a frame above 64 KiB, or too many invalid frames
in a row (a single one is only answered with an error); 4401, 4404 as named in
`follower`; 4429 for a user with too many sockets; 1000 after the run's end was sent.
"""

import asyncio
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass, field, replace
from urllib.parse import parse_qs

from channels.db import database_sync_to_async
from channels.generic.websocket import AsyncWebsocketConsumer
from pydantic import BaseModel

from orchestration.plan.model import Kind
from testbed.access.permissions import Act, Permissions, refusal
from testbed.models import Run
from testbed.pages.logs import LogFilter
from testbed.runs import cancelling, dispatch, doorbell
from testbed.websocket import follower
from testbed.websocket.follower import NO_SUCH_RUN, Page, View, Visitor
from testbed.websocket.frames import (
    MAX_FRAME_BYTES,
    BadFrame,
    CancelFrame,
    DetachFrame,
    Frame,
    Incoming,
    InstructionFrame,
    PingFrame,
    SubscribeFrame,
    ack_frame,
    error_frame,
    pack,
    read_frame,
    texts_of,
)
from testbed.websocket.leaving import NOT_UNDERSTOOD, LeavingConsumer
from testbed.websocket.origin import token_of

_in_thread = database_sync_to_async

OVER = 1000
MAX_BAD_FRAMES = 10
# News is sent at once; rows that come within this time after it are sent together.
GATHER_S = 0.02
# In a flood a page gets the newest lines at this interval.
FLOOD_GATHER_S = 0.25
# Each frame is an act, as a request is.
ACTS: dict[type[BaseModel], Act] = {
    SubscribeFrame: Act.SEE,
    InstructionFrame: Act.DRIVE,
    DetachFrame: Act.DRIVE,
    CancelFrame: Act.CANCEL,
    PingFrame: Act.SEE,
}


@dataclass(frozen=True, slots=True)
class Pace:
    """The times of a consumer, and the sizes of a page of news.

    The user is checked and rows are read each `tick_s`. A silent client gets nothing
    for `silence_s`: most subscribe at once, and frames sent before the replay would be
    out of order.
    """

    tick_s: float = 2.0
    silence_s: float = 10.0
    view: View = field(default_factory=View)


class NothingHere(AsyncWebsocketConsumer):
    """Refuses every other websocket address."""

    channel_layer_alias = ""

    async def connect(self) -> None:
        """Close with the code for an unknown run."""
        await self.accept()
        await self.close(NO_SUCH_RUN)


class RunConsumer(LeavingConsumer):
    """One client of one run."""

    def __init__(self, *, pace: Pace) -> None:
        super().__init__()
        self._pace = pace
        self._run: Run | None = None
        self._may = Permissions()
        self._is_driver = self._has_spoken = self._is_flood = False
        self._bad_frames = 0

    async def connect(self) -> None:
        """Accept a user who may see the run, and follow it from here on."""
        self._run_id = int(self.scope["url_route"]["kwargs"]["run"])
        self._socket = uuid.uuid4().hex
        found = await self._visitor()
        if not found.refusal:
            self._cursor = await _in_thread(follower.last_seq)(self._run_id)
        await self.accept()
        if found.user is None or found.refusal:
            await self._close(found.refusal)
            return
        if not await self._enter(found.user):
            return
        query = parse_qs(self.scope["query_string"].decode("ascii", "replace"))
        self._view = replace(
            self._pace.view,
            has_html=query.get("render") == ["html"],
            is_tail=query.get("log") == ["tail"],
        )
        self._is_packed = query.get("batch") == ["1"]
        self._news = asyncio.Event()
        # An ack is sent before anything that its instruction causes.
        self._turn = asyncio.Lock()
        self._opened_at = time.monotonic()
        self._start(doorbell.listen(self._run_id, self._news))
        self._start(self._follow())
        self._start(self._tick())

    async def receive(
        self, text_data: str | None = None, bytes_data: bytes | None = None
    ) -> None:
        """Carry out a frame, or answer why not."""
        if self._is_closed or not await self._may_stay():
            return
        if text_data is None:
            await self._close(NOT_UNDERSTOOD, "Frames are JSON text, not binary.")
        elif len(text_data.encode(errors="replace")) > MAX_FRAME_BYTES:
            await self._close(NOT_UNDERSTOOD, "Frames have at most 64 KiB.")
        else:
            await self._read(text_data)

    async def disconnect(self, code: int) -> None:
        """Stop following; a run that this client drove goes on without it."""
        await super().disconnect(code)
        if self._is_driver:
            await _in_thread(dispatch.hand_over)(self._run_id, self._socket)

    async def _read(self, text: str) -> None:
        try:
            frame = read_frame(text)
        except BadFrame as exc:
            self._bad_frames += 1
            await self._send(error_frame(f"This frame was not understood. {exc}"))
            if self._bad_frames >= MAX_BAD_FRAMES:
                await self._close(NOT_UNDERSTOOD, "Too many frames were no frames.")
            return
        self._bad_frames = 0
        await self._do(frame)

    async def _do(self, frame: Incoming) -> None:
        act = ACTS[type(frame)]
        if self._run is not None and not self._may.allows(act):
            why = refusal(self._may, act, self._run.testbed)
            await self._send(error_frame(why.sentence))
            return
        match frame:
            case InstructionFrame():
                await self._instruct(frame)
            case CancelFrame():
                await _in_thread(cancelling.request_cancel)(self._run_id, self._user)
            case SubscribeFrame():
                async with self._turn:
                    newest = await _in_thread(follower.last_seq)(self._run_id)
                    self._cursor = min(frame.after, newest)
                    chosen = LogFilter(frame.log.resource, frame.log.host)
                    self._view = replace(self._view, log=chosen)
            case DetachFrame():
                self._is_driver = False
                await _in_thread(dispatch.hand_over)(self._run_id, self._socket)
        self._has_spoken = True
        self._news.set()

    async def _instruct(self, frame: InstructionFrame) -> None:
        async with self._turn:
            ack = await _in_thread(dispatch.accept)(
                self._run_id, frame.index, frame.kind, self._socket
            )
            self._is_driver = self._is_driver or ack.valid
            if frame.kind != Kind.END:
                answer = ack_frame(frame.index, valid=ack.valid, message=ack.message)
                await self._send(answer)
            elif not ack.valid:
                await self._send(error_frame(ack.message))

    async def _follow(self) -> None:
        """Send rows as they come, and the run's end last."""
        while not self._is_closed:
            self._news.clear()
            begun = time.monotonic()
            if self._has_spoken or begun >= self._opened_at + self._pace.silence_s:
                run_end = await self._send_news()
                if run_end is not None:
                    await self._send(run_end)
                    await self._close(OVER)
                    return
            await self._wait_for_news()
            gather_s = FLOOD_GATHER_S if self._is_flood else GATHER_S
            await asyncio.sleep(begun + gather_s - time.monotonic())

    async def _wait_for_news(self) -> None:
        # Python 3.11's wait_for loses a cancel that comes together with the news,
        # and a closed socket would be followed for ever.
        with suppress(TimeoutError):
            async with asyncio.timeout(self._pace.tick_s):
                await self._news.wait()

    async def _send_news(self) -> Frame | None:
        """Send all new rows, page by page; return the run's end if it is reached."""
        while True:
            async with self._turn:
                viewer_id = self._user.pk if self._user else None
                view = replace(self._view, may=self._may, viewer_id=viewer_id)
                page: Page = await _in_thread(follower.read_page)(
                    self._run_id, self._cursor, view
                )
                self._is_flood = page.has_skipped
                for frame in pack(page.frames) if self._is_packed else page.frames:
                    for text in texts_of(frame):
                        await self.scope["gate"].wait()
                        await self._send_text(text)
                self._cursor = page.last_seq
            if not page.has_more:
                return page.run_end

    async def _tick(self) -> None:
        """Check the user again, and keep the driver's mark fresh."""
        while await self._may_stay():
            if self._is_driver:
                self._is_driver = await _in_thread(dispatch.keep_driving)(
                    self._run_id, self._socket
                )
            await asyncio.sleep(self._pace.tick_s)

    async def _may_stay(self) -> bool:
        found = await self._visitor()
        if found.refusal:
            await self._close(found.refusal)
        return not found.refusal

    async def _visitor(self) -> Visitor:
        session, token = self.scope["session"].session_key, token_of(self.scope)
        found: Visitor = await _in_thread(follower.visitor)(
            session, self._run_id, token
        )
        self._user, self._run, self._may = found.user, found.run, found.may
        return found
