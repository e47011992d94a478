"""Channels that end at a bad moment: by the server, or by the garbage collector.

dropbear 2022.83 closes each channel without a command when another command ends.
"""

import gc
import socket
import threading
import time
from collections.abc import Callable, Iterator

import paramiko
import pytest

from orchestration.errors import Cancelled
from orchestration.transport.processes.login_shell import MARK
from orchestration.transport.ssh.connection import Wake
from orchestration.transport.ssh.link import Link, NotSent, QuickSocket
from orchestration.transport.ssh.session import Session
from tests.waiting import wait_until


class Server(paramiko.ServerInterface):
    """Runs every command: it prints "here" and exits with 0."""

    def __init__(self) -> None:
        self.answers: list[threading.Thread] = []

    def check_auth_none(self, username: str) -> int:
        return paramiko.AUTH_SUCCESSFUL

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return paramiko.OPEN_SUCCEEDED

    def check_channel_exec_request(
        self, channel: paramiko.Channel, command: bytes
    ) -> bool:
        answer = threading.Thread(target=self._answer, args=(channel,), daemon=True)
        self.answers.append(answer)
        answer.start()
        return True

    @staticmethod
    def _answer(channel: paramiko.Channel) -> None:
        # A server's answer to the request comes before the command's output. The thread
        # that sends it also takes the reply to this question.
        channel.get_transport().global_request("answered?", wait=True)
        channel.sendall(MARK + b"here")
        channel.send_exit_status(0)
        channel.close()


@pytest.fixture
def ends() -> Iterator[tuple[paramiko.Transport, Link]]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        here = socket.create_connection(listener.getsockname())
        there, _ = listener.accept()
    with paramiko.Transport(there) as server, Link(QuickSocket(here)) as link:
        server.add_server_key(paramiko.ECDSAKey.generate())
        commands = Server()
        server.start_server(event=threading.Event(), server=commands)
        link.start_client(timeout=30)
        link.auth_none("user")
        yield server, link
        # A client has its exit code before the server has closed the channel.
        for answer in commands.answers:
            answer.join(30)


def open_session(link: Link, output: list[bytes]) -> Session:
    return Session(
        link.open_session, Wake(), stdout=output.append, stderr=output.append
    )


def close_there(server: paramiko.Transport, channel: paramiko.Channel) -> None:
    """Close the channel that the server opened first, and wait until both know it.

    paramiko's server gives the number to another channel before our end is known.
    """
    opened = server.accept(30)
    assert opened is not None
    opened.close()
    wait_until(lambda: channel.closed)
    channels = server._channels  # type: ignore[attr-defined]
    wait_until(lambda: channels.get(opened.get_id()) is None)


def test_channel_that_is_collected_in_the_middle_of_a_message_is_closed_after_it(
    ends: tuple[paramiko.Transport, Link],
) -> None:
    """The collector may run in a thread that holds the lock for sending."""
    server, link = ends
    channel = link.open_session()
    opened = server.accept(30)
    assert opened is not None

    with link.clear_to_send_lock:  # type: ignore[attr-defined]
        del channel
        gc.collect()

    assert link.answers(30)
    wait_until(lambda: opened.closed)
    assert link.open_session()


@pytest.mark.parametrize(
    ("is_repeatable", "has_input"), [(True, True), (False, True), (False, False)]
)
def test_command_starts_on_another_channel_when_its_own_is_closed(
    ends: tuple[paramiko.Transport, Link],
    monkeypatch: pytest.MonkeyPatch,
    *,
    is_repeatable: bool,
    has_input: bool,
) -> None:
    """The channel is closed after it was looked at and before the request is sent."""
    server, link = ends
    output: list[bytes] = []
    session = open_session(link, output)
    request, first = link.request_command, session._channel

    def request_late(
        channel: paramiko.Channel, line: str, *, has_input: bool = True
    ) -> None:
        if channel is first:
            close_there(server, channel)
        request(channel, line, has_input=has_input)

    monkeypatch.setattr(link, "request_command", request_late)
    session.start(
        "here", lambda: False, is_repeatable=is_repeatable, has_input=has_input
    )

    assert session.pump(iter(()), lambda: False, time.monotonic() + 30) == 0
    assert b"".join(output) == b"here"
    session.close()


def test_command_without_input_and_the_end_of_its_input_are_sent_in_one_piece(
    ends: tuple[paramiko.Transport, Link], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, link = ends
    channel = link.open_session()
    opened = server.accept(30)
    assert opened is not None
    pieces: list[int] = []
    send = link.sock.send

    def counted(data: bytes) -> int:
        # The reader answers the server's questions meanwhile.
        if threading.current_thread() is threading.main_thread():
            pieces.append(len(data))
        return send(data)

    monkeypatch.setattr(link.sock, "send", counted)
    link.request_command(channel, "here", has_input=False)

    assert len(pieces) == 1
    wait_until(lambda: opened.eof_received)
    assert channel.recv(100) == MARK + b"here"


@pytest.mark.parametrize(
    "request_of", [lambda c: lambda: c.exec_command("x"), lambda c: c.get_pty]
)
def test_request_on_a_closed_channel_is_refused_and_not_waited_for(
    ends: tuple[paramiko.Transport, Link],
    monkeypatch: pytest.MonkeyPatch,
    request_of: Callable[[paramiko.Channel], Callable[[], None]],
) -> None:
    server, link = ends
    channel = link.open_session()
    prepare = channel._event_pending  # type: ignore[attr-defined]

    def prepare_late() -> None:
        close_there(server, channel)
        prepare()

    monkeypatch.setattr(channel, "_event_pending", prepare_late)

    with pytest.raises(NotSent):
        request_of(channel)()


def test_refused_command_is_no_success(
    ends: tuple[paramiko.Transport, Link], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, link = ends
    monkeypatch.setattr(
        Server, "check_channel_exec_request", lambda *_: False, raising=True
    )

    with pytest.raises(paramiko.SSHException, match="closed"):
        link.start_command(link.open_session(), "here")


def test_late_message_of_a_closed_channel_is_not_sent_to_the_next_with_its_number(
    ends: tuple[paramiko.Transport, Link],
) -> None:
    """A thread has made its message before the server closes its channel."""
    server, link = ends
    first = link.open_session()
    late = paramiko.Message()
    late.add_byte(paramiko.common.cMSG_CHANNEL_DATA)
    late.add_int(first.remote_chanid)
    late.add_string(b"of the first")
    server._channel_counter = first.remote_chanid  # type: ignore[attr-defined]
    close_there(server, first)
    second = link.open_session()
    opened = server.accept(30)
    assert second.remote_chanid == first.remote_chanid

    first.transport._send_user_message(late)
    with pytest.raises(NotSent):
        link.request_command(first, "rm of-the-first")
    second.sendall(b"of the second")

    assert opened is not None
    opened.settimeout(30)
    assert opened.recv(100) == b"of the second"
    assert link.open_command_channel(30, lambda: False)


def test_opening_that_is_stopped_is_left_at_once_and_its_late_channel_is_closed(
    ends: tuple[paramiko.Transport, Link], monkeypatch: pytest.MonkeyPatch
) -> None:
    server, link = ends
    is_asked, may_answer = threading.Event(), threading.Event()

    def answer_late(*_: object) -> int:
        is_asked.set()
        may_answer.wait(30)
        return paramiko.OPEN_SUCCEEDED

    monkeypatch.setattr(Server, "check_channel_request", answer_late)
    with pytest.raises(Cancelled):
        link.open_command_channel(30, is_asked.is_set)
    may_answer.set()

    late = server.accept(30)
    assert late is not None
    wait_until(lambda: late.closed)
    assert link.open_command_channel(30, lambda: False)


def test_channel_of_an_ended_link_is_not_waited_for(
    ends: tuple[paramiko.Transport, Link],
) -> None:
    server, link = ends
    server.close()
    wait_until(lambda: not link.is_active())

    with pytest.raises((paramiko.SSHException, EOFError)):
        link.open_command_channel(600, lambda: False)
