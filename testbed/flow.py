"""Let a slow browser slow its sender down instead of filling the server's memory.

ASGI has no word for "the socket's buffer is full", and Daphne takes every frame at
once. Its websocket protocol is a Twisted transport, though, which tells a registered
push producer when to pause; `FlowControl` puts that into the scope as a `Gate`.
Servers whose `send` waits by itself get a gate that is always open.
"""

import asyncio
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
Application = Callable[[Message, Receive, Send], Awaitable[None]]


class Gate:
    """A push producer that is told to pause while the socket's buffer is full."""

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
        """Open the gate for good: nobody is there any more."""
        self._open.set()


class FlowControl:
    """Give each websocket's scope a `gate`."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Register the gate with Daphne's transport, if that is who serves."""
        gate = Gate()
        transport = _transport_of(send)
        if transport is not None:
            # Daphne's HTTP channel was its producer until the upgrade.
            transport.unregisterProducer()
            transport.registerProducer(gate, True)
        await self._application({**scope, "gate": gate}, receive, send)


def _transport_of(send: Send) -> Any:
    """Return the Twisted transport behind Daphne's `partial(handle_reply, protocol)`."""
    for protocol in getattr(send, "args", ()):
        transport = getattr(protocol, "transport", None)
        if hasattr(transport, "registerProducer"):
            return transport
    return None
