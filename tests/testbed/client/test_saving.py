"""A long answer that is saved as a file: whole under its name, or not at all."""

import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import httpx
import pytest

from testbed.client.api import Client

HEAD = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nbytes\r\n"
END = b"0\r\n\r\n"


@pytest.fixture
def says() -> Iterator[list[bytes]]:
    """A server's address behind a list of its answers, each the end of a connection."""
    answers: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as server:
        answers.append(b"http://127.0.0.1:%d" % server.getsockname()[1])

        def serve() -> None:
            connection, _ = server.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(answers[1])

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield answers
        thread.join()


def save(says: list[bytes], to: Path) -> None:
    with closing(Client(says[0].decode())) as client:
        client.save("/runs/7/fetched/archive/", to)


def test_answer_is_saved_whole(says: list[bytes], tmp_path: Path) -> None:
    says.append(HEAD + END)

    save(says, tmp_path / "log.tar")

    assert (tmp_path / "log.tar").read_bytes() == b"bytes"
    assert [one.name for one in tmp_path.iterdir()] == ["log.tar"]


def test_answer_that_breaks_off_leaves_what_was_there(
    says: list[bytes], tmp_path: Path
) -> None:
    says.append(HEAD)
    older = tmp_path / "log.tar"
    older.write_bytes(b"older")

    with pytest.raises(httpx.HTTPError):
        save(says, older)

    assert older.read_bytes() == b"older"
    assert [one.name for one in tmp_path.iterdir()] == ["log.tar"]
