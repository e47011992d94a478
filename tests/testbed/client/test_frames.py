"""The terminal client and the frames of a run, against a tiny server that plays scenes.

Instructions go out one by one, a broken connection is made again, and what is no end of
the run is not taken for one.
"""

import json
import threading
from collections.abc import Callable, Iterator
from socket import SHUT_RDWR

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.sync.server import Server, ServerConnection, serve

from testbed.client.api import Client, Frame, StartedRun, frames, send

Play = Callable[[ServerConnection], None]
PLAN = ({"index": 0, "kind": "init"}, {"index": 1, "kind": "end"})


@pytest.fixture
def stage() -> Iterator[Callable[[Play], Client]]:
    """Start a websocket server that plays a scene, and a client of it."""
    servers: list[tuple[Server, threading.Thread, Client]] = []

    def start(play: Play) -> Client:
        server = serve(play, "127.0.0.1", 0)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        client = Client(f"http://127.0.0.1:{server.socket.getsockname()[1]}")
        servers.append((server, thread, client))
        return client

    yield start
    for server, thread, client in servers:
        client.close()
        server.shutdown()
        thread.join()


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

    status = stage(play).drive(StartedRun(7, PLAN), seen.append)

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

    status = stage(play).drive(StartedRun(7, PLAN), lambda frame: None)

    assert status == "failed"


def test_connection_that_ends_before_the_run_is_no_result(
    stage: Callable[[Play], Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("testbed.client.api.RECONNECT_FOR_S", 0.0)
    client = stage(lambda socket: None)

    with pytest.raises(ConnectionResetError, match="run 7 was closed too early"):
        client.drive(StartedRun(7, PLAN), lambda frame: None)


def test_end_of_the_run_that_got_lost_is_asked_for_again(
    stage: Callable[[Play], Client],
) -> None:
    heard: list[Frame] = []

    def play(socket: ServerConnection) -> None:
        heard.append(told(socket))
        if len(heard) == 1:
            socket.send(json.dumps({"type": "event", "seq": 5}))
        else:
            socket.send(json.dumps({"type": "run", "status": "cancelled"}))

    assert stage(play).follow(7, lambda frame: None) == "cancelled"
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

    status = stage(play).drive(StartedRun(7, PLAN), seen.append)

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
        client.drive(StartedRun(7, PLAN), lambda frame: None)


def test_socket_carries_session_and_origin_to_the_runs_address(
    stage: Callable[[Play], Client],
) -> None:
    asked: list[tuple[str, str, str]] = []

    def play(socket: ServerConnection) -> None:
        request = socket.request
        assert request is not None
        headers = request.headers
        asked.append((request.path, headers["Cookie"], headers["Origin"]))
        send_back = {"type": "hello", "text": "x" * 2_000_000}
        socket.send(json.dumps(send_back))

    client = stage(play)
    client._http.cookies.set("sessionid", "abc")
    with client.socket(7, "?view=page") as socket:
        (frame,) = frames(socket)

    assert len(frame["text"]) == 2_000_000
    assert asked == [
        ("/ws/orchestration/7/?view=page", "sessionid=abc", client.base_url)
    ]


def test_frames_go_out_as_json(stage: Callable[[Play], Client]) -> None:
    heard: list[Frame] = []
    client = stage(lambda socket: heard.append(told(socket)))

    with client.socket(7) as socket:
        send(socket, {"type": "cancel"})
        assert list(frames(socket)) == []

    assert heard == [{"type": "cancel"}]
