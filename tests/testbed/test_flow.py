"""A slow browser pauses its sender."""

import asyncio
from functools import partial

from testbed.flow import FlowControl


class Transport:
    """Twisted's transport as far as FlowControl uses it."""

    def __init__(self):
        self.producer = "the HTTP channel"

    def unregisterProducer(self):  # noqa: N802
        self.producer = None

    def registerProducer(self, producer, streaming):  # noqa: N802
        assert self.producer is None
        assert streaming
        self.producer = producer


class Protocol:
    def __init__(self):
        self.transport = Transport()


async def handle_reply(protocol, message):
    """Daphne's `send`, which never waits."""


async def receive():
    return {"type": "websocket.connect"}


async def test_sender_waits_while_the_buffer_is_full():
    protocol, sent = Protocol(), []

    async def application(scope, receive, send):
        for number in range(3):
            await scope["gate"].wait()
            sent.append(number)
            if number == 0:
                protocol.transport.producer.pauseProducing()

    work = FlowControl(application)({}, receive, partial(handle_reply, protocol))
    task = asyncio.create_task(work)
    await asyncio.sleep(0.01)
    paused = list(sent)
    protocol.transport.producer.resumeProducing()
    await task

    assert paused == [0]
    assert sent == [0, 1, 2]


async def test_sender_of_a_client_that_left_is_let_go():
    protocol = Protocol()

    async def application(scope, receive, send):
        protocol.transport.producer.pauseProducing()
        protocol.transport.producer.stopProducing()
        await scope["gate"].wait()

    await FlowControl(application)({}, receive, partial(handle_reply, protocol))


async def test_other_servers_get_an_open_gate():
    async def application(scope, receive, send):
        await scope["gate"].wait()

    async def send(message):
        """Wait by itself."""

    await FlowControl(application)({}, receive, send)
