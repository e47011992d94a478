"""Leaves a run or a console also where the server ends a consumer by force.

Daphne tells a consumer that its client is gone, and cancels one that is not over some
seconds later: it may wait for a console that takes no typing. Channels calls
`disconnect` for the first alone, also not for a consumer that fails, as when the
database is away; its tasks would go on for ever.
"""

import asyncio

from channels.consumer import get_handler_name
from channels.exceptions import StopConsumer
from channels.generic.websocket import AsyncWebsocketConsumer

from testbed.websocket.backpressure import Message, Receive, Send

GONE = 1006


class LeavingConsumer(AsyncWebsocketConsumer):
    """A consumer without a channel layer, whose `disconnect` is called at every end.

    Before each message Channels enters the thread that all requests share and closes old
    connections of the database there: a key would wait for other people's pages.
    `database_sync_to_async` closes them for each question as well.
    """

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
