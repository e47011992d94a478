"""Leaves a run or a console also where the server ends a consumer by force.

Daphne tells a consumer that its client is gone, and cancels one that is not over some
seconds later: it may wait for a console that takes no typing. Channels calls
`disconnect` for the first alone, and the consumer's tasks would go on for ever.
"""

import asyncio

from channels.generic.websocket import AsyncWebsocketConsumer

from testbed.websocket.backpressure import Message, Receive, Send

GONE = 1006


class LeavingConsumer(AsyncWebsocketConsumer):
    """A consumer whose `disconnect` is called at every end."""

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve one websocket."""
        try:
            await super().__call__(scope, receive, send)
        except asyncio.CancelledError:
            await self.disconnect(GONE)
            raise
