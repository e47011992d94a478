"""The first contact shows a server's key, and nothing of ours to the server."""

import base64
import os
import socket
import struct
import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from orchestration.errors import (
    AuthenticationRefused,
    HostKeyMismatch,
    HostUnreachable,
)
from orchestration.transport.ssh import Limits, first_contact
from orchestration.transport.ssh.failures import Failures
from orchestration.transport.ssh.first_contact import (
    ask_host_key,
    host_key_of,
    public_line,
)
from tests.orchestration.transport.conftest import Server, free_port, keygen

PATIENT = Limits(kept_s=3, accept_s=3, banner_s=15)
HOUR_S = 3600.0
SHORT = Limits(kept_s=0.5, accept_s=0.5, banner_s=0.5)


def ask(port: int, folder: Path, limits: Limits = PATIENT) -> str:
    return ask_host_key(
        "host-b", "127.0.0.1", port, limits=limits, runtime_dir=folder
    ).line


@contextmanager
def listener(answer: Callable[[socket.socket], object]) -> Iterator[int]:
    """A server of another kind, which answers each connection with a function."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    sock, _ = server.accept()
                    with sock, suppress(OSError):
                        answer(sock)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield server.getsockname()[1]
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def test_key_and_fingerprint_are_those_that_ssh_keygen_prints(
    server: Server, tmp_path: Path
) -> None:
    seen = ask_host_key(
        "host-b",
        "127.0.0.1",
        server.port,
        limits=PATIENT,
        runtime_dir=tmp_path,
    )

    key = server.identity.with_name("host.pub")
    shown = subprocess.run(
        ["ssh-keygen", "-lf", key], check=True, capture_output=True, text=True
    )
    assert seen.line == server.host_key
    assert seen.kind == "ssh-ed25519"
    assert seen.fingerprint in shown.stdout
    assert host_key_of(seen.line) == seen


@pytest.mark.parametrize("kind", [AuthenticationRefused, HostKeyMismatch])
def test_key_is_shown_after_the_pause_of_a_login_that_was_refused(
    server: Server, tmp_path: Path, kind: type[HostUnreachable], monkeypatch
) -> None:
    failures = Failures(tmp_path / "ssh-failures.json")
    place, error = f"127.0.0.1:{server.port}", kind("host-b does not let root in.")
    failures.note(place, error, tried_at=time.time(), pause_s=HOUR_S)
    # The pause ends as soon as it is waited for.
    monkeypatch.setattr(first_contact.time, "sleep", lambda _: failures.release(place))

    assert ask(server.port, tmp_path) == server.host_key


def test_port_without_a_server_is_said(tmp_path: Path) -> None:
    with pytest.raises(HostUnreachable, match="no server listens on that port"):
        ask(free_port(), tmp_path)


def test_server_that_never_speaks_is_given_up(tmp_path: Path) -> None:
    over = threading.Event()
    with listener(lambda _: over.wait(30)) as port:
        with pytest.raises(HostUnreachable, match="no SSH server answers"):
            ask(port, tmp_path, SHORT)
        over.set()


def test_server_that_stops_after_its_banner_is_given_up(tmp_path: Path) -> None:
    over = threading.Event()

    def answer(sock: socket.socket) -> None:
        sock.sendall(b"SSH-2.0-slow\r\n")
        over.wait(60)

    with listener(answer) as port:
        with pytest.raises(HostUnreachable, match="cannot be reached over SSH"):
            ask(port, tmp_path, SHORT)
        over.set()


@pytest.mark.parametrize(
    "flood",
    [b"A" * 65536, b"SSH-2.0-x\r\n" + struct.pack(">I", 1 << 30) + os.urandom(65536)],
    ids=["without an end", "of one packet"],
)
def test_server_that_floods_is_cut_off(tmp_path: Path, flood: bytes) -> None:
    sent: list[int] = []

    def answer(sock: socket.socket) -> None:
        for _ in range(1000):
            sock.sendall(flood)
            sent.append(len(flood))

    with listener(answer) as port, pytest.raises(HostUnreachable):
        ask(port, tmp_path, Limits(3, 3, 5))
    assert sum(sent) < 32 << 20


def test_second_contact_right_after_a_failed_one_is_not_made(tmp_path: Path) -> None:
    connections: list[int] = []
    with listener(lambda _: connections.append(1)) as port:
        for _ in range(3):
            with pytest.raises(HostUnreachable):
                ask(port, tmp_path, SHORT)
    assert len(connections) == 1


def test_public_half_of_a_key_is_one_line(tmp_path: Path) -> None:
    line = keygen(tmp_path / "id")

    assert public_line(tmp_path / "id") == f"{line} testbed-main"


def test_key_that_cannot_be_read_is_named_with_its_path(tmp_path: Path) -> None:
    with pytest.raises(AuthenticationRefused, match=str(tmp_path / "id")):
        public_line(tmp_path / "id")


def test_key_that_is_none_is_refused() -> None:
    with pytest.raises(HostUnreachable):
        host_key_of("ssh-ed25519 " + base64.b64encode(b"x").decode()[:-1] + "!")
