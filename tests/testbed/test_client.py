"""The terminal client: pages against a real server, frames against a tiny one."""

import json
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from socket import SHUT_RDWR

import pytest
from django.contrib.auth.models import User
from pytest_django.live_server_helper import LiveServer
from websockets.exceptions import ConnectionClosedError
from websockets.sync.server import Server, ServerConnection, serve

from testbed.client import Client, Frame, Refused, StartedRun, frames, send
from testbed.models import Host, Run, Testbed
from tests.testbed.conftest import YAML, Doors

Play = Callable[[ServerConnection], None]
PLAN = ({"index": 0, "kind": "init"}, {"index": 1, "kind": "end"})


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A testbed's folder as a user has it."""
    folder = tmp_path / "mine"
    (folder / "scripts").mkdir(parents=True)
    (folder / "kvm-compose.yaml").write_text(YAML)
    (folder / "scripts" / "setup.sh").write_text("#!/bin/sh\n")
    return folder


@pytest.fixture
def client(
    live_server: LiveServer,
    owner: User,
    hosts: tuple[Host, Host],
    doors: Doors,
    settings: object,
    tmp_path: Path,
) -> Iterator[Client]:
    """Olive's client, signed in at a running server."""
    settings.TESTBEDS_DIR = tmp_path / "testbeds"
    settings.RUNTIME_DIR = tmp_path / "runtime"
    client = Client(f"{live_server.url}/")
    client.sign_in("olive", "olive-pass")
    yield client
    client.close()


def test_refused_yaml_is_told_line_by_line(client: Client, folder: Path) -> None:
    client.create_testbed("mine", folder)
    wrong = YAML.replace("bridge: far", "bridge: away")
    Testbed.objects.get(slug="mine").project.yaml.write_text(wrong)

    with pytest.raises(Refused) as told:
        client.start("mine", "up")

    first, second = str(told.value).splitlines()
    assert first == "kvm-compose.yaml has 1 error. Mend the lines below and try again."
    assert second.startswith("  line ")
    assert "error machines[1].interfaces[0].bridge: Unknown bridge `away`." in second


def test_wrong_password_is_refused(live_server: LiveServer, owner: User) -> None:
    client = Client(live_server.url)

    with pytest.raises(Refused, match="does not let olive in"):
        client.sign_in("olive", "guess")

    client.close()


def test_folder_becomes_a_testbed(client: Client, folder: Path) -> None:
    assert not client.has_testbed("lab")

    client.create_testbed("lab", folder)

    assert client.has_testbed("lab")
    project = Testbed.objects.get(slug="lab").project
    assert project.yaml.read_text() == YAML
    assert (project.files / "scripts" / "setup.sh").read_text() == "#!/bin/sh\n"


def test_old_and_new_times_of_files_do_not_matter(client: Client, folder: Path) -> None:
    os.utime(folder / "scripts" / "setup.sh", (0, 0))

    client.create_testbed("lab", folder)

    assert client.has_testbed("lab")


def test_folder_without_a_yaml_is_refused_with_the_servers_reason(
    client: Client, tmp_path: Path
) -> None:
    (tmp_path / "empty").mkdir()

    with pytest.raises(Refused, match="lab was not created"):
        client.create_testbed("lab", tmp_path / "empty")


def test_files_are_added_and_replaced(client: Client, folder: Path) -> None:
    client.create_testbed("lab", folder)
    (folder / "scripts" / "setup.sh").write_text("new")
    (folder / "more.txt").write_text("more")

    client.update_files("lab", folder)

    files = Testbed.objects.get(slug="lab").project.files
    assert (files / "scripts" / "setup.sh").read_text() == "new"
    assert (files / "more.txt").read_text() == "more"


def test_files_of_a_testbed_that_is_not_there_are_refused(
    client: Client, folder: Path
) -> None:
    with pytest.raises(Refused, match="files of nowhere were not taken"):
        client.update_files("nowhere", folder)


def test_pages_are_read(client: Client, folder: Path) -> None:
    client.create_testbed("lab", folder)

    assert "lab" in client.page("/testbeds/lab/")
    with pytest.raises(Refused, match="/testbeds/nowhere/ answers 404"):
        client.page("/testbeds/nowhere/")


def test_started_run_comes_with_its_instructions(client: Client, folder: Path) -> None:
    client.create_testbed("lab", folder)

    started = client.start("lab", "up", provision=True, rerun_scripts=False)

    run = Run.objects.get()
    assert started.number == run.pk
    assert [e["index"] for e in started.instructions] == list(
        range(len(started.instructions))
    )
    assert started.instructions[-1]["kind"] == "end"
    assert (run.options["provision"], run.options["rerun_scripts"]) == (True, False)


def test_run_that_is_refused_says_why(client: Client, folder: Path) -> None:
    client.create_testbed("lab", folder)

    with pytest.raises(Refused, match="no state"):
        client.start("lab", "down")
    with pytest.raises(Refused):
        client.start("nowhere", "up")


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
    monkeypatch.setattr("testbed.client.RECONNECT_FOR_S", 0.0)
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
    client = stage(lambda socket: socket.close(4403, "not yours"))

    with pytest.raises(ConnectionClosedError, match="4403"):
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
