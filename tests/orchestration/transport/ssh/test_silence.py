"""Cancel while an SSH server is silent: stopped, or one that accepts and says nothing.

The server is alive for TCP. Cancel leaves at once, and admits what it cannot know.
"""

import os
import signal
import socket
import threading
import time

import pytest

from orchestration.errors import Cancelled
from orchestration.transport.base import Scope, command
from tests.orchestration.transport.conftest import carriers
from tests.waiting import wait_until


@pytest.fixture
def frozen(server, scope):
    """A server whose kept connection is stopped: alive for TCP, silent for SSH."""
    machine = server.transport()
    machine.run(command("true"), scope=scope)
    pids = server.own_pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    yield machine
    for pid in pids:
        os.kill(pid, signal.SIGCONT)


def test_cancel_before_the_command_was_sent_leaves_at_once(frozen):
    waiting = Scope("frozen.1")
    threading.Timer(0.2, waiting.cancel).start()

    with pytest.raises(Cancelled):
        frozen.run(command("true"), scope=waiting)

    assert waiting.ended == []


def test_cancel_on_a_silent_link_admits_what_is_unknown(server):
    machine = server.transport()
    running = Scope(f"silent.{os.getpid()}")
    raised: list[Exception] = []

    def run() -> None:
        try:
            machine.run(command("sleep", "600"), scope=running)
        except Cancelled as exc:
            raised.append(exc)

    thread = threading.Thread(target=run)
    thread.start()
    wait_until(lambda: carriers(running.tag))
    pids = server.own_pids()
    for pid in pids:
        os.kill(pid, signal.SIGSTOP)
    running.cancel()
    thread.join(120)
    for pid in pids:
        os.kill(pid, signal.SIGCONT)

    assert len(raised) == 1
    assert "sleep 600 (not confirmed" in running.ended[0].survivors[0].name
    assert machine.end(running.tag).survivors == ()
    assert carriers(running.tag) == []


def test_cancel_while_dialling_leaves_at_once(server):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        machine = server.transport(port=silent.getsockname()[1])
        waiting = Scope("dialling.1")
        threading.Timer(0.2, waiting.cancel).start()

        with pytest.raises(Cancelled):
            machine.run(command("true"), scope=waiting)


def test_scope_with_an_end_leaves_a_dialling_at_it(server):
    with socket.create_server(("127.0.0.1", 0)) as silent:
        machine = server.transport(port=silent.getsockname()[1])
        waiting, started = Scope("late.1"), time.monotonic()

        with pytest.raises(Cancelled):
            machine.run(command("true"), scope=waiting.limited(0.5))

    # At the limit of the dialling itself, the host would be unreachable instead.
    assert time.monotonic() - started >= 0.5
    assert not waiting.stop.is_set()
    assert (waiting.entered, waiting.ended) == (set(), [])


def test_scope_with_an_end_is_cancelled_with_its_own(server):
    running = Scope(f"limited.{os.getpid()}")

    def cancel_once_it_runs() -> None:
        wait_until(lambda: carriers(running.tag))
        running.cancel()

    canceller = threading.Thread(target=cancel_once_it_runs)
    canceller.start()
    with pytest.raises(Cancelled):
        server.transport().run(command("sleep", "600"), scope=running.limited(600))
    canceller.join()

    assert running.ended[0].survivors == ()
    assert carriers(running.tag) == []
