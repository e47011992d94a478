"""Makes the faster side wait for the slower one, instead of filling the server's memory.

ASGI cannot express that a socket's buffer is full, and Daphne accepts everything at
once. Twisted below it does tell a registered push producer when to pause: `FlowControl`
puts that into a websocket's scope as a `Gate`, `ResponseFlow` lets the parts of a
response wait, and its end. Servers whose `send` waits by itself are left alone.

The other way, Daphne queues all messages of a websocket, also while the application
waits for something that the client holds up: `FlowControl` stops reading then.

Daphne has no door to its connections: they are taken from its `send`, which is no part
of its interface. Its version is pinned, and a test runs Daphne's own `Server` to name
this module when another version hands `send` over in another way.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[..., Awaitable[None]]
# Above this a websocket is not read; four of the largest messages that are taken.
MOST_WAITING_BYTES = 256 * 1024
# An empty message takes memory as well.
MESSAGE_BYTES = 512


class Gate:
    """A push producer that Twisted pauses while the socket's buffer is full."""

    def __init__(self) -> None:
        self._open = asyncio.Event()
        self._open.set()

    async def wait(self) -> None:
        """Wait until the client has taken what was sent."""
        await self._open.wait()

    def pauseProducing(self) -> None:  # noqa: N802 (Twisted's name)
        """Close the gate."""
        self._open.clear()

    def resumeProducing(self) -> None:  # noqa: N802 (Twisted's name)
        """Open the gate."""
        self._open.set()

    def stopProducing(self) -> None:  # noqa: N802 (Twisted's name)
        """Open the gate for good: the client is gone."""
        self._open.set()


class FlowControl:
    """Adds a `gate` to each websocket's scope, and bounds what waits to be received."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Register the gate with Daphne's transport, when Daphne serves."""
        gate, connection = Gate(), _connection_of(send)
        transport = getattr(connection, "transport", None)
        if transport is not None:
            # Daphne's HTTP channel was its producer until the upgrade.
            transport.unregisterProducer()
            transport.registerProducer(gate, True)
            receive = _Inbox(connection, receive).receive
        await self._application({**scope, "gate": gate}, receive, send)


class _Inbox:
    """The messages of one websocket that Daphne has read and nobody received yet."""

    def __init__(self, connection: Any, receive: Receive) -> None:
        self._transport = connection.transport
        self._receive = receive
        self._sizes = deque[int]()
        self._waiting = 0
        self._queue = connection.onMessage
        connection.onMessage = self._put

    def _put(self, payload: bytes, is_binary: bool) -> None:
        self._sizes.append(len(payload) + MESSAGE_BYTES)
        self._waiting += self._sizes[-1]
        self._queue(payload, is_binary)
        if self._waiting > MOST_WAITING_BYTES:
            self._transport.pauseProducing()

    async def receive(self) -> Message:
        """Return the next message; its client may send again when there is room."""
        message = await self._receive()
        if message["type"] == "websocket.receive":
            self._waiting -= self._sizes.popleft()
            if self._waiting <= MOST_WAITING_BYTES:
                self._transport.resumeProducing()
        return message


class ResponseFlow:
    """Sends each part of a response, and its end, when its client took the one before."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Serve a request; one part is in memory, whatever the response's length."""
        parts = _Parts(send)
        try:
            await self._application(scope, receive, parts.send)
        finally:
            parts.end()


class _Parts:
    """The body of one response on its way to Daphne's request."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self._request = _connection_of(send)
        self._gate: Gate | None = None

    async def send(self, message: Message) -> None:
        """Send a part; returns when the buffer can take the next.

        With the end of the last one Twisted begins the connection's next request. A
        client may have sent a thousand in one packet, and read no answer: the end waits
        as well.
        """
        if message["type"] != "http.response.body" or not self._is_there():
            await self._send(message)
            return
        if self._gate is None:
            self._gate = Gate()
            self._request.registerProducer(self._gate, True)
        await self._send({**message, "more_body": True})
        await self._gate.wait()
        if not message.get("more_body", False):
            self.end()
            await self._send({**message, "body": b"", "more_body": False})

    def end(self) -> None:
        """End production, as Twisted requires before the response is finished."""
        if self._gate is not None and self._is_there():
            self._request.unregisterProducer()
        self._gate = None

    def _is_there(self) -> bool:
        return self._request is not None and self._request.channel is not None


def _connection_of(send: Send) -> Any:
    """Return the websocket protocol or the request that Daphne's `send` writes to.

    `send` is `partial(Server.handle_reply, connection)` there; None elsewhere.
    """
    return next(iter(getattr(send, "args", ())), None)
