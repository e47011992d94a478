"""Whether a machine is there: the kept connection's answer, else a login on a new one.

Against a real sshd, directly and behind another machine. What sshd 10 makes of it is in
test_penalties.py.
"""

import contextlib
import os
import signal
import socket
import threading
from collections.abc import Iterator

import pytest

from orchestration.errors import Cancelled, HostUnreachable
from orchestration.transport.base import Scope, command
from orchestration.transport.ssh import Limits, SSHTransport, connection
from tests.orchestration.transport.conftest import Server, free_port
from tests.waiting import wait_until

PATIENT = Limits(60.0, 60.0, 60.0)
HASTY = Limits(0.3, 0.5, 0.3)


def test_kept_connection_answers_without_a_new_one(
    server: Server, scope: Scope
) -> None:
    machine = server.transport()
    machine.require_answer(PATIENT, scope=scope)
    before = server.connections()

    for _ in range(20):
        machine.require_answer(PATIENT, scope=scope)

    assert server.connections() == before


def test_many_threads_are_answered_on_one_connection(
    server: Server, scope: Scope
) -> None:
    machine = server.transport()
    asking = [
        threading.Thread(
            target=machine.require_answer, args=(PATIENT,), kwargs={"scope": scope}
        )
        for _ in range(30)
    ]

    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join(60)

    assert len(server.connections()) == 1


def test_dropbear_answers_on_the_kept_connection(
    dropbear: SSHTransport, scope: Scope
) -> None:
    dropbear.require_answer(PATIENT, scope=scope)
    kept = dropbear.connection._alive()

    assert kept is not None
    assert kept.answers(60.0)


def test_server_that_started_again_is_found(server: Server, scope: Scope) -> None:
    machine = server.transport()
    machine.require_answer(PATIENT, scope=scope)
    server.kill()
    server.start()

    machine.require_answer(PATIENT, scope=scope)

    assert machine.run(command("echo", "here"), scope=scope).stdout == "here\n"


def test_server_that_died_is_missed(server: Server, scope: Scope) -> None:
    machine = server.transport()
    machine.require_answer(PATIENT, scope=scope)
    server.kill()

    with pytest.raises(HostUnreachable, match="no server listens on that port"):
        machine.require_answer(PATIENT, scope=scope)


def test_silent_connection_is_replaced_where_the_machine_lets_us_in(
    server: Server, scope: Scope
) -> None:
    machine = server.transport()
    machine.require_answer(PATIENT, scope=scope)
    kept = server.connections()
    for pid in kept:
        os.kill(pid, signal.SIGSTOP)

    machine.require_answer(Limits(0.1, 60.0, 60.0), scope=scope)

    completed = machine.run(command("echo", "here"), scope=scope)
    for pid in kept:
        os.kill(pid, signal.SIGCONT)
    assert completed.stdout == "here\n"


def test_silent_connection_that_a_command_uses_is_kept(
    server: Server, scope: Scope
) -> None:
    machine = server.transport()
    printed: list[str] = []
    working = threading.Thread(
        target=lambda: printed.append(
            machine.run(command("sh", "-c", "sleep 1; echo end"), scope=scope).stdout
        )
    )
    working.start()
    wait_until(lambda: machine.connection.is_alive())
    kept = server.connections()
    for pid in kept:
        os.kill(pid, signal.SIGSTOP)

    machine.require_answer(Limits(0.1, 60.0, 60.0), scope=scope)

    for pid in kept:
        os.kill(pid, signal.SIGCONT)
    working.join(60)
    assert printed == ["end\n"]


@pytest.mark.parametrize("hops", [1, 2])
def test_refused_is_told_from_mute(server: Server, scope: Scope, hops: int) -> None:
    via = server.transport() if hops == 2 else None

    with pytest.raises(HostUnreachable, match="no server listens on that port"):
        _ask(server, free_port(), via, PATIENT, scope)
    with socket.create_server(("127.0.0.1", 0)) as mute:
        port = mute.getsockname()[1]
        with pytest.raises(HostUnreachable, match="no SSH server answers"):
            _ask(server, port, via, Limits(60.0, 60.0, 0.3), scope)


@pytest.mark.parametrize("hops", [1, 2])
def test_address_without_an_answer_is_told(
    server: Server, deaf_port: int, scope: Scope, hops: int
) -> None:
    via = server.transport() if hops == 2 else None

    with pytest.raises(HostUnreachable, match="no answer in time"):
        _ask(server, deaf_port, via, HASTY, scope)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (b"Not allowed at this time\r\n", "accepts no SSH connection .* for now"),
        (b"Exceeded MaxStartups\r\n", "accepts no SSH connection .* for now"),
        (b"220 mail ready\r\n", "no SSH server answers"),
    ],
)
def test_refusal_in_place_of_a_banner_is_named(
    server: Server,
    scope: Scope,
    words: bytes,
    reason: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "PAUSE_S", 1000.0)
    with _says(words) as port, pytest.raises(HostUnreachable, match=reason):
        _ask(server, port, None, PATIENT, scope)


def test_server_that_says_it_is_early_is_asked_again(
    server: Server, scope: Scope, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PAUSE_S", 0.1)

    with (
        _says(b"Not allowed at this time\r\n") as port,
        pytest.raises(HostUnreachable, match="no SSH server answers"),
    ):
        _ask(server, port, None, Limits(60.0, 60.0, 1.0), scope)


def test_cancel_ends_the_question(server: Server) -> None:
    asking = Scope()
    threading.Timer(0.1, asking.cancel).start()

    with socket.create_server(("127.0.0.1", 0)) as mute, pytest.raises(Cancelled):
        _ask(server, mute.getsockname()[1], None, PATIENT, asking)


@pytest.fixture
def deaf_port() -> Iterator[int]:
    """A port whose queue of connections is full: the kernel drops new ones."""
    with (
        socket.create_server(("127.0.0.1", 0), backlog=0) as full,
        socket.create_connection(full.getsockname()),
        socket.socket() as waiting,
    ):
        waiting.setblocking(False)
        waiting.connect_ex(full.getsockname())
        yield full.getsockname()[1]


def _ask(
    server: Server, port: int, via: SSHTransport | None, limits: Limits, scope: Scope
) -> None:
    server.transport(port=port, via=via).require_answer(limits, scope=scope)


@contextlib.contextmanager
def _says(words: bytes) -> Iterator[int]:
    """Listen on a port, say this to whoever connects, and close."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            with contextlib.suppress(OSError):
                connection, _ = listening.accept()
                with connection:
                    connection.sendall(words)

        threading.Thread(target=serve, daemon=True).start()
        yield listening.getsockname()[1]
