"""A browser tab on a run's websocket, as the page's script would use it.

It keeps every frame that it saw; a close is a frame like the others. `drive` does what
the page does with a plan.
"""

import asyncio
import json

from channels.testing import WebsocketCommunicator
from django.test import Client

from testbed.asgi import websockets
from testbed.websocket.consumer import Pace

PATIENCE_S = 60
# The in-memory layer rings in its own loop only, so news are looked for all the time.
# On a busy machine no client is silent only because a test's turn comes late.
OFTEN = Pace(tick_s=0.05, silence_s=600.0)


class Tab:
    """One browser tab on a run's websocket, or on that of another `path`."""

    def __init__(
        self,
        run_id,
        user=None,
        query="",
        origin=b"http://localhost",
        pace=OFTEN,
        path="",
        application=None,
        token=None,
    ):
        headers = [(b"host", b"localhost")]
        headers += [(b"origin", origin)] if origin else []
        if user is not None:
            client = Client()
            client.force_login(user)
            self.session_key = client.cookies["sessionid"].value
            headers.append((b"cookie", f"sessionid={self.session_key}".encode()))
        if token is not None:
            headers.append((b"authorization", f"Bearer {token}".encode()))
        path = path or f"/ws/orchestration/{run_id}/{query}"
        application = application or websockets(pace)
        self.socket = WebsocketCommunicator(application, path, headers=headers)
        self.seen = []

    async def open(self):
        connected, _ = await self.socket.connect(timeout=PATIENCE_S)
        assert connected
        return self

    async def send(self, type_, **fields):
        await self.socket.send_to(text_data=json.dumps({"type": type_, **fields}))

    async def next(self):
        """Return the next frame; a close is {"type": "close", "code": …}."""
        message = await self.socket.receive_output(timeout=PATIENCE_S)
        if message["type"] == "websocket.close":
            frame = {"type": "close", "code": message.get("code")}
        else:
            frame = json.loads(message["text"])
        self.seen.append(frame)
        return frame

    async def until(self, type_, **fields):
        """Read up to the next frame of this type (and with these fields)."""
        while True:
            frame = await self.next()
            if frame["type"] == type_ and fields.items() <= frame.items():
                return frame
            assert frame["type"] != "close", self.seen

    async def to_close(self):
        return (await self.until("close"))["code"]

    async def close(self):
        """Close, and see that the consumer ends by itself.

        The communicator's own `disconnect` cancels a consumer that does not.
        """
        await self.socket.send_input({"type": "websocket.disconnect", "code": 1000})
        async with asyncio.timeout(PATIENCE_S):
            await self.socket.future

    def of(self, type_):
        return [frame for frame in self.seen if frame["type"] == type_]


async def drive(tab, plan):
    """Do what the page does: one instruction after the other, `end` last."""
    for index, kind in plan:
        await tab.send("instruction", index=index, kind=kind)
        if kind != "end":
            await tab.until("result", index=index)
