"""Login shells on terminals of a real sshd: how each ends is told."""

from collections.abc import Callable

import pytest

from orchestration.transport.base import Scope
from orchestration.transport.ssh import Terminal
from tests.orchestration.transport.conftest import Server


def read_to_the_end(terminal: Terminal) -> bytes:
    return b"".join(iter(terminal.read, b""))


@pytest.mark.parametrize("end", ["exit 0", "exit 7", "kill -KILL $$"])
def test_shell_that_ends_by_itself_is_not_lost(
    make_server: Callable[..., Server], scope: Scope, end: str
) -> None:
    terminal = make_server().transport().open_terminal(80, 24, scope=scope)

    terminal.write(f"echo sum-$((6*7)); {end}\n".encode())

    assert b"sum-42" in read_to_the_end(terminal)
    assert not terminal.is_lost


def test_shell_whose_server_is_killed_is_lost(
    make_server: Callable[..., Server], scope: Scope
) -> None:
    server = make_server()
    terminal = server.transport().open_terminal(80, 24, scope=scope)

    server.kill()

    read_to_the_end(terminal)
    assert terminal.is_lost
