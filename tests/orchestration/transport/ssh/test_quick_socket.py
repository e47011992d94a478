"""Bytes that were read ahead of a reader, and bytes that a reader gave back."""

import socket
from collections.abc import Iterator

import pytest

from orchestration.transport.ssh.link import QuickSocket


@pytest.fixture
def ends() -> Iterator[tuple[QuickSocket, socket.socket]]:
    """A connection: our end and the server's."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        connected = socket.create_connection(server.getsockname(), 10)
        with QuickSocket(connected) as ours, server.accept()[0] as theirs:
            yield ours, theirs


def test_bytes_given_back_come_before_those_read_ahead(
    ends: tuple[QuickSocket, socket.socket],
) -> None:
    ours, theirs = ends
    sent = bytes(range(256)) * 40
    theirs.sendall(sent)
    theirs.shutdown(socket.SHUT_WR)
    first = ours.recv(4096)

    ours.give_back(first)

    assert b"".join(iter(lambda: ours.recv(100), b"")) == sent
