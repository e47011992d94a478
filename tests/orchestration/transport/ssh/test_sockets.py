"""Unix sockets of a machine, through a real sshd and on the kept connection."""

import shutil
import socket
import socketserver
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from orchestration.errors import ConsoleUnavailable, HostUnreachable
from orchestration.transport.base import Scope, command
from orchestration.transport.ssh.sockets import connect_with_sudo
from orchestration.transport.streams import Stream
from tests.orchestration.transport.conftest import Server
from tests.waiting import wait_until

SUDO = """#!/bin/sh
[ "$1" = -n ] && shift && exec "$@"
"""


class _Echo(socketserver.BaseRequestHandler):
    def handle(self) -> None:
        self.request.sendall(b"hello ")
        while data := self.request.recv(65_536):
            self.request.sendall(data)


@pytest.fixture
def path(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "vnc.sock"
    with socketserver.ThreadingUnixStreamServer(str(place), _Echo) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield place
        server.shutdown()


def read(stream: Stream, size: int) -> bytes:
    data = b""
    while len(data) < size and (piece := stream.read()):
        data += piece
    return data


def test_bytes_go_both_ways_beside_commands(
    server: Server, scope: Scope, path: Path
) -> None:
    host = server.transport()
    host.run(command("true"), scope=scope)

    stream = host.open_socket(str(path))
    stream.write(b"x" * 3_000_000)

    assert read(stream, 6 + 3_000_000) == b"hello " + b"x" * 3_000_000
    assert host.run(command("echo", "there"), scope=scope).stdout == "there\n"
    assert len(server.connections()) == 1
    stream.close()
    stream.close()
    assert stream.read() == b""
    stream.write(b"nobody")


def test_close_wakes_the_reader(server: Server, path: Path) -> None:
    stream = server.transport().open_socket(str(path))
    assert read(stream, 6) == b"hello "
    ended = threading.Event()
    threading.Thread(target=lambda: (stream.read(), ended.set()), daemon=True).start()

    stream.close()

    assert ended.wait(60)


def test_socket_that_is_not_there_costs_no_connection(
    server: Server, scope: Scope, tmp_path: Path
) -> None:
    host = server.transport("host-b")
    host.run(command("true"), scope=scope)

    with pytest.raises(ConsoleUnavailable, match="SSH server of host-b"):
        host.open_socket(str(tmp_path / "none"))

    assert host.is_connected()
    assert host.run(command("echo", "on"), scope=scope).stdout == "on\n"


def test_server_that_forbids_it_is_named(
    make_server: Callable[..., Server], path: Path
) -> None:
    host = make_server("a", "AllowStreamLocalForwarding no").transport("host-b")

    with pytest.raises(ConsoleUnavailable) as caught:
        host.open_socket(str(path))

    assert "AllowStreamLocalForwarding local" in caught.value.hint


@pytest.fixture
def with_sudo(
    make_server: Callable[..., Server], tmp_path: Path
) -> Callable[[str], Stream]:
    """Connect as an account whose login prints, and to which sudo gives root."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "sudo").write_text(SUDO)
    (programs / "sudo").chmod(0o755)
    home = tmp_path / "sshd-a" / "home"
    bash = shutil.which("bash")
    server = make_server("a", shell=bash)
    home.mkdir(parents=True, exist_ok=True)
    (home / ".bashrc").write_text(f"echo Welcome; PATH={programs}:$PATH\n")
    connection = server.transport("host-b").connection

    def opened(path: str) -> Stream:
        slots = threading.BoundedSemaphore(1)
        return connect_with_sudo(connection, path, slots=slots)

    return opened


def test_bytes_go_both_ways_with_sudo(
    with_sudo: Callable[[str], Stream], path: Path
) -> None:
    stream = with_sudo(str(path))
    stream.write(b"x" * 1_000_000)

    assert read(stream, 6 + 1_000_000) == b"hello " + b"x" * 1_000_000
    stream.close()
    assert stream.read() == b""


def test_socket_that_sudo_does_not_reach_says_why(
    with_sudo: Callable[[str], Stream], tmp_path: Path
) -> None:
    with pytest.raises(ConsoleUnavailable) as caught:
        with_sudo(str(tmp_path / "none"))

    assert "host-b does not connect" in caught.value.message
    assert "No such file" in caught.value.detail


def test_machine_that_is_gone_is_unreachable(server: Server, path: Path) -> None:
    host = server.transport()
    stream = host.open_socket(str(path))
    assert read(stream, 6) == b"hello "
    server.kill()

    assert stream.read() == b""
    wait_until(lambda: not host.is_connected())
    with pytest.raises(HostUnreachable):
        host.open_socket(str(path))


def test_close_wakes_the_reader_of_a_local_socket() -> None:
    here, there = socket.socketpair()
    stream = Stream(there)
    ended = threading.Event()
    threading.Thread(target=lambda: (stream.read(), ended.set()), daemon=True).start()

    stream.close()

    assert ended.wait(60)
    here.close()
