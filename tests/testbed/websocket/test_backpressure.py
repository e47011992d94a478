"""A slow browser pauses its sender."""

import asyncio
from functools import partial
from types import SimpleNamespace

import pytest
from daphne.http_protocol import WebRequest
from daphne.server import Server
from daphne.ws_protocol import WebSocketProtocol
from twisted.internet.interfaces import IPushProducer
from twisted.internet.testing import StringTransport
from twisted.web.test.requesthelper import DummyChannel
from zope.interface.verify import verifyClass

from testbed.websocket.backpressure import (
    MOST_WAITING_BYTES,
    FlowControl,
    Gate,
    ResponseFlow,
)

TIMEOUT_S = 60


class Protocol:
    """Daphne's websocket protocol as far as FlowControl uses it."""

    def __init__(self):
        self.transport = StringTransport()
        self.transport.registerProducer("the HTTP channel", streaming=True)

    def onMessage(self, payload, isBinary):  # noqa: N802, N803
        """Queue a message for the application."""


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
    await asyncio.wait_for(task, TIMEOUT_S)

    assert paused == [0]
    assert sent == [0, 1, 2]


async def test_sender_of_a_client_that_left_is_let_go():
    protocol, passed = Protocol(), []

    async def application(scope, receive, send):
        protocol.transport.producer.pauseProducing()
        protocol.transport.producer.stopProducing()
        await scope["gate"].wait()
        passed.append("the gate")

    flow = FlowControl(application)({}, receive, partial(handle_reply, protocol))
    await asyncio.wait_for(flow, TIMEOUT_S)

    assert passed == ["the gate"]


async def test_other_servers_get_an_open_gate():
    passed = []

    async def application(scope, receive, send):
        await scope["gate"].wait()
        passed.append("the gate")

    async def send(message):
        """Wait by itself."""

    await asyncio.wait_for(FlowControl(application)({}, receive, send), TIMEOUT_S)

    assert passed == ["the gate"]


def test_gate_is_a_push_producer_of_twisted():
    assert verifyClass(IPushProducer, Gate, tentative=True)


class Request:
    """Daphne's request as far as ResponseFlow uses it."""

    def __init__(self):
        self.channel = object()
        self.producer = None

    def registerProducer(self, producer, streaming):  # noqa: N802
        assert streaming
        self.producer = producer

    def unregisterProducer(self):  # noqa: N802
        self.producer = None


def part(number, *, is_last=False):
    return {"type": "http.response.body", "body": number, "more_body": not is_last}


def responder(request, sent, count=3):
    """Return an application of some parts, and a `send` that is paused by the first."""

    async def handle_reply(request, message):
        sent.append(message.get("body"))
        if message.get("body") == 0 and request.producer:
            request.producer.pauseProducing()

    async def application(scope, receive, send):
        await send({"type": "http.response.start"})
        for number in range(count):
            await send(part(number, is_last=number == count - 1))

    flow = ResponseFlow(application)
    return asyncio.create_task(flow({}, receive, partial(handle_reply, request)))


async def test_next_part_of_a_response_waits_until_there_is_room():
    request, sent = Request(), []

    task = responder(request, sent)
    await asyncio.sleep(0.01)
    paused = list(sent)
    request.producer.resumeProducing()
    await asyncio.wait_for(task, TIMEOUT_S)

    assert paused == [None, 0]
    assert sent == [None, 0, 1, 2, b""]
    assert request.producer is None


async def test_response_whose_client_left_is_let_go():
    request, sent = Request(), []

    task = responder(request, sent)
    await asyncio.sleep(0.01)
    producer, request.channel = request.producer, None
    producer.stopProducing()
    await asyncio.wait_for(task, TIMEOUT_S)

    assert sent[-1] == 2


async def test_response_of_one_part_ends_when_its_client_has_taken_it():
    request, sent = Request(), []

    task = responder(request, sent, count=1)
    await asyncio.sleep(0.01)
    paused = list(sent)
    request.producer.resumeProducing()
    await asyncio.wait_for(task, TIMEOUT_S)

    assert paused == [None, 0]
    assert sent == [None, 0, b""]
    assert request.producer is None


async def test_response_that_breaks_leaves_no_producer():
    request = Request()

    async def handle_reply(request, message):
        """Take it."""

    async def application(scope, receive, send):
        await send(part(0))
        raise KeyError

    flow = ResponseFlow(application)
    with pytest.raises(KeyError):
        await flow({}, receive, partial(handle_reply, request))

    assert request.producer is None


CHANGED = (
    "This Daphne hands `send` over in another way: a slow browser fills the server's "
    "memory. Adapt _connection_of in testbed/websocket/backpressure.py."
)


def daphne_serving(application):
    """Return Daphne's own server of an application, which listens nowhere."""
    server = Server(application, endpoints=["none"])
    server.connections = {}
    return server


async def test_gate_is_registered_with_the_transport_of_daphnes_websocket():
    gates = []

    async def application(scope, receive, send):
        gates.append(scope["gate"])

    server, protocol = daphne_serving(FlowControl(application)), WebSocketProtocol()
    protocol.transport = StringTransport()
    protocol.transport.registerProducer("the HTTP channel", streaming=True)
    server.protocol_connected(protocol)
    server.create_application(protocol, {"type": "websocket"})
    await server.connections[protocol]["application_instance"]

    assert [protocol.transport.producer] == gates, CHANGED


async def test_gate_is_registered_with_the_request_of_daphne():
    producers = []

    async def application(scope, receive, send):
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"a", "more_body": True})
        producers.append(request.producer)

    server, channel = daphne_serving(ResponseFlow(application)), DummyChannel()
    channel.factory = SimpleNamespace(server=server)
    request = WebRequest(channel)
    server.create_application(request, {"type": "http"})
    await server.connections[request]["application_instance"]

    assert [type(producer) for producer in producers] == [Gate], CHANGED


async def test_websocket_is_not_read_while_its_messages_wait():
    piece, room = 64 * 1024, asyncio.Event()

    async def application(scope, receive, send):
        await room.wait()
        while (await receive())["type"] != "websocket.disconnect":
            pass

    server, protocol = daphne_serving(FlowControl(application)), WebSocketProtocol()
    protocol.transport, protocol.client_addr = StringTransport(), None
    protocol.transport.registerProducer("the HTTP channel", streaming=True)
    server.protocol_connected(protocol)
    protocol.application_queue = server.create_application(
        protocol, {"type": "websocket"}
    )
    await asyncio.sleep(0)

    read = 0
    while protocol.transport.producerState == "producing":
        protocol.onMessage(bytes(piece), True)
        read += piece
        assert read <= MOST_WAITING_BYTES + piece, CHANGED
    room.set()
    protocol.application_queue.put_nowait({"type": "websocket.disconnect"})
    await server.connections[protocol]["application_instance"]

    assert read > piece
    assert protocol.transport.producerState == "producing"


async def test_empty_messages_of_a_websocket_are_bounded_too():
    protocol = Protocol()

    async def application(scope, receive, send):
        await asyncio.Event().wait()

    flow = FlowControl(application)({}, receive, partial(handle_reply, protocol))
    task = asyncio.create_task(flow)
    await asyncio.sleep(0)
    for _ in range(1024):
        protocol.onMessage(b"", False)
    task.cancel()

    assert protocol.transport.producerState == "paused"
