"""The client and the frames of a run, against a tiny server that plays scenes.

Instructions go out one by one, a broken connection is made again, and what is no end of
the run is not taken for one.
"""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from socket import SHUT_RDWR
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed, ConnectionClosedError
from websockets.frames import Close, CloseCode
from websockets.sync.server import Server, ServerConnection, serve

from testbed.client.rest.server import Server as Client
from testbed.client.rest.sockets import MAX_FRAME_BYTES
from testbed.client.watching import Frame, OnFrame, frames, is_lasting, send, watch

Play = Callable[[ServerConnection], None]
TOO_BIG = Close(CloseCode.MESSAGE_TOO_BIG, "")
PLAN = ({"index": 0, "kind": "init"}, {"index": 1, "kind": "end"})


@pytest.fixture
def stage() -> Iterator[Callable[[Play], Client]]:
    """Start a websocket server that plays a scene, and a client of it."""
    servers: list[tuple[Server, threading.Thread, Client]] = []

    def start(play: Play) -> Client:
        server = serve(play, "127.0.0.1", 0)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        url = f"http://127.0.0.1:{server.socket.getsockname()[1]}"
        client = Client(url, "tb_x")
        servers.append((server, thread, client))
        return client

    yield start
    for server, thread, client in servers:
        client.close()
        server.shutdown()
        thread.join()


def drive(client: Client, on_frame: OnFrame = lambda frame: None, **how: Any) -> str:
    return watch(lambda: client.events(7), 7, on_frame, list(PLAN), **how)


def told(socket: ServerConnection) -> Frame:
    frame: Frame = json.loads(socket.recv())
    return frame


def test_instructions_are_sent_one_by_one_after_each_result(
    stage: Callable[[Play], Client],
) -> None:
    heard: list[Frame] = []
    seen: list[Frame] = []

    def play(socket: ServerConnection) -> None:
        heard.extend([told(socket), told(socket)])
        socket.send(json.dumps({"type": "log", "text": "works"}))
        socket.send(json.dumps({"type": "result", "index": 0}))
        heard.append(told(socket))
        socket.send(json.dumps({"type": "result", "index": 1}))
        socket.send(json.dumps({"type": "run", "status": "succeeded"}))

    status = drive(stage(play), seen.append)

    assert status == "succeeded"
    assert heard == [
        {"type": "subscribe", "after": 0},
        {"type": "instruction", "index": 0, "kind": "init"},
        {"type": "instruction", "index": 1, "kind": "end"},
    ]
    assert [frame["type"] for frame in seen] == ["log", "result", "result", "run"]


def test_runs_end_is_read_although_the_server_takes_no_more(
    stage: Callable[[Play], Client],
) -> None:
    def play(socket: ServerConnection) -> None:
        told(socket)
        told(socket)
        socket.send(json.dumps({"type": "result", "index": 0}))
        socket.send(json.dumps({"type": "run", "status": "failed"}))
        socket.close()

    status = drive(stage(play))

    assert status == "failed"


def test_connection_that_ends_before_the_run_is_no_result(
    stage: Callable[[Play], Client],
) -> None:
    client = stage(lambda socket: None)

    with pytest.raises(ConnectionResetError, match="run 7 was closed too early"):
        drive(client, patience_s=0.0)


def test_end_of_the_run_that_got_lost_is_asked_for_again(
    stage: Callable[[Play], Client],
) -> None:
    heard: list[Frame] = []

    def play(socket: ServerConnection) -> None:
        heard.append(told(socket))
        if len(heard) == 1:
            told(socket)
            socket.send(json.dumps({"type": "event", "seq": 5}))
        else:
            socket.send(json.dumps({"type": "run", "status": "cancelled"}))

    assert drive(stage(play)) == "cancelled"
    assert [frame["after"] for frame in heard] == [0, 5]


def test_broken_connection_is_made_again_and_shows_what_was_missed(
    stage: Callable[[Play], Client],
) -> None:
    heard: list[Frame] = []
    seen: list[Frame] = []

    def play(socket: ServerConnection) -> None:
        is_first = not heard
        heard.append(told(socket))
        if is_first:
            heard.append(told(socket))
            socket.send(json.dumps({"type": "event", "seq": 5}))
            socket.socket.shutdown(SHUT_RDWR)
        else:
            socket.send(json.dumps({"type": "result", "seq": 6, "index": 0}))
            socket.send(json.dumps({"type": "run", "status": "succeeded"}))

    status = drive(stage(play), seen.append)

    assert status == "succeeded"
    assert heard == [
        {"type": "subscribe", "after": 0},
        {"type": "instruction", "index": 0, "kind": "init"},
        {"type": "subscribe", "after": 5},
    ]
    assert [frame.get("seq") for frame in seen] == [5, 6, None]


def test_refusal_of_the_server_is_not_taken_for_an_end(
    stage: Callable[[Play], Client],
) -> None:
    client = stage(lambda socket: socket.close(4404, "not yours"))

    with pytest.raises(ConnectionClosedError, match="4404"):
        drive(client)


def test_frame_that_is_too_long_is_not_asked_for_again(
    stage: Callable[[Play], Client],
) -> None:
    opened: list[ServerConnection] = []

    def play(socket: ServerConnection) -> None:
        opened.append(socket)
        with suppress(ConnectionClosed):
            socket.send("x" * (MAX_FRAME_BYTES + 1))

    lost: list[str] = []
    with pytest.raises(ConnectionClosedError, match="too big"):
        drive(stage(play), on_lost=lambda: lost.append("again"))

    assert len(opened) == 1
    assert not lost


@pytest.mark.parametrize(
    ("rcvd", "sent", "is_first", "expected"),
    [
        (None, TOO_BIG, None, True),
        (TOO_BIG, TOO_BIG, False, True),
        (TOO_BIG, TOO_BIG, True, False),
    ],
    ids=["ours alone", "ours first", "the server's first"],
)
def test_only_the_clients_own_word_of_a_long_frame_is_lasting(
    rcvd: Close | None, sent: Close, is_first: bool | None, expected: bool
) -> None:
    """websockets answers a close with the same code."""
    assert is_lasting(ConnectionClosedError(rcvd, sent, is_first)) is expected


def test_socket_carries_the_token_to_the_runs_address(
    stage: Callable[[Play], Client],
) -> None:
    asked: list[tuple[str, str]] = []

    def play(socket: ServerConnection) -> None:
        request = socket.request
        assert request is not None
        asked.append((request.path, request.headers["Authorization"]))
        socket.send(json.dumps({"type": "hello", "text": "x" * 2_000_000}))

    with stage(play).events(7) as socket:
        (frame,) = frames(socket)

    assert len(frame["text"]) == 2_000_000
    assert asked == [("/ws/orchestration/7/", "Bearer tb_x")]


def test_frames_go_out_as_json(stage: Callable[[Play], Client]) -> None:
    heard: list[Frame] = []
    client = stage(lambda socket: heard.append(told(socket)))

    with client.events(7) as socket:
        send(socket, {"type": "cancel"})
        assert list(frames(socket)) == []

    assert heard == [{"type": "cancel"}]
