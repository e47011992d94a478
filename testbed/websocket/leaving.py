"""The base of the consumers of websockets: sending, closing, their tasks, and their end.

Daphne tells a consumer that its client is gone, and cancels one that is not over some
seconds later: it may wait for a console that takes no typing. Channels calls
`disconnect` for the first alone, also not for a consumer that fails, as when the
database is away; its tasks would go on for ever.
"""

import asyncio
import json
import logging
from collections.abc import Coroutine, Mapping
from typing import ClassVar

from channels.consumer import get_handler_name
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer
from django.contrib.auth.models import User

from testbed.websocket import open_sockets
from testbed.websocket.backpressure import Message, Receive, Send
from testbed.websocket.frames import error_frame

logger = logging.getLogger(__name__)

GONE = 1006
BROKEN = 1011
NOT_UNDERSTOOD = 4400
TOO_MANY = 4429


class LeavingConsumer(AsyncWebsocketConsumer):
    """A consumer without a channel layer, whose `disconnect` is called at every end.

    Before each message Channels enters the thread that all requests share and closes old
    connections of the database there: a key would wait for other people's pages.
    `database_sync_to_async` closes them for each question as well.
    """

    # Nothing here needs Redis: a socket must open while that is down.
    channel_layer_alias = ""
    # The code of a socket of which a task failed.
    failed_code: ClassVar[int] = BROKEN

    def __init__(self) -> None:
        super().__init__()
        self._user: User | None = None
        self._is_closed = False
        self._tasks: list[asyncio.Task[None]] = []

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one websocket."""
        self.scope, self.base_send = scope, send
        try:
            while True:
                message = await receive()
                await getattr(self, get_handler_name(message))(message)
        except StopConsumer:
            pass
        except (asyncio.CancelledError, Exception):
            await self.disconnect(GONE)
            raise

    async def disconnect(self, code: int) -> None:
        """End all that the socket does."""
        self._end()
        if self._user is not None:
            open_sockets.leave(self._user, self)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def _session(self) -> str:
        return self.scope["session"].session_key or ""

    async def _enter(self, user: User) -> bool:
        """Count the socket among its user's; close it where these are too many."""
        if refusal := await open_sockets.enter(user, self):
            await self._close(TOO_MANY, refusal)
        return not refusal

    async def _send(self, frame: Mapping[str, object]) -> None:
        await self._send_text(json.dumps(frame, ensure_ascii=False))

    async def _send_text(self, text: str) -> None:
        if not self._is_closed:
            await self.send(text)

    async def _close(self, code: int, reason: str = "") -> None:
        """Close with a code; servers drop the reason, so it is also sent as a frame."""
        if self._is_closed:
            return
        if reason:
            await self._send(self._refused(reason))
        self._end()
        await self.close(code)

    def _refused(self, reason: str) -> Mapping[str, object]:
        """Return the frame that says why a socket closes."""
        return error_frame(reason)

    def _end(self) -> None:
        """Send nothing more, whether or not the client answers the close."""
        self._is_closed = True

    def _start(self, work: Coroutine[None, None, None]) -> None:
        task = asyncio.create_task(work)
        task.add_done_callback(self._note_end)
        self._tasks.append(task)

    def _note_end(self, task: asyncio.Task[None]) -> None:
        """Close the socket of a failed task, so that the client opens another."""
        if task.cancelled() or (problem := task.exception()) is None:
            return
        self._note_failure(problem)
        self._tasks.append(asyncio.create_task(self._close(self.failed_code)))

    def _note_failure(self, problem: BaseException) -> None:
        logger.error("the websocket %s failed", self.scope["path"], exc_info=problem)
