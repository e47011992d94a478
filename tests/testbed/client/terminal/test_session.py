"""Answers of a server that is hostile, or of another version: a sentence, no codes."""

import io
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import click
import pytest

from testbed.client.terminal.options import Settings
from testbed.client.terminal.program import run
from testbed.client.terminal.session import session

CODES = "\x1b]0;owned\x07\x1b[2J\x9b31mwords"
COMMANDS = (
    ("testbeds", "list", "-o", "wide"),
    ("status",),
    ("runs", "--all"),
    ("images", "list"),
    ("quota",),
    ("snapshot", "list"),
    ("down", "--detach"),
    ("exec", "@all", "--", "id"),
)


@contextmanager
def answering(status: int, body: bytes) -> Iterator[str]:
    """Give the address of a server that has one answer to everything."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_POST(self) -> None:
            self.do_GET()

        def log_message(self, *words: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def told(
    url: str, words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> tuple[int, str]:
    """Run a command; return its exit code and all that it printed."""
    code = run(["--server", url, "--project-name", "olive/lab", *words])
    found = capsys.readouterr()
    return code, found.out + found.err


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_answer_of_another_shape_is_one_sentence(
    words: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("TESTBED_TOKEN", "tb_x")
    for body in ({}, {"items": [None]}, {"items": [{}]}, {"items": CODES}):
        with answering(200, json.dumps(body).encode()) as url:
            code, text = told(url, words, capsys)

        assert code == 1, text
        assert "Error: The answer was not understood" in text
        assert "the same version?" in text
        assert "\x1b" not in text


@pytest.mark.parametrize("body", [b"", b"[]", b"[" * 100_000, b"\xff\xfe"])
def test_answer_that_is_no_json_is_one_sentence(
    body: bytes, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TESTBED_TOKEN", "tb_x")

    with answering(200, body) as url:
        code, text = told(url, ("status",), capsys)

    assert code == 1, text
    assert text.startswith("Error: ")


def test_refusal_of_a_hostile_server_has_no_terminal_codes(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("TESTBED_TOKEN", "tb_x")
    findings = [{"line": CODES}, CODES, None]
    refusal = {"detail": CODES, "hint": CODES, "findings": findings}

    with answering(422, json.dumps(refusal).encode()) as url:
        code, text = told(url, ("down",), capsys)

    assert code == 3
    assert text.startswith("Error: ")
    assert "words" in text
    assert not {"\x1b", "\x07", "\x9b"} & set(text)


def test_failure_of_this_machine_is_not_told_as_the_servers(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """This one of `io` is a ValueError, too."""
    monkeypatch.setenv("TESTBED_TOKEN", "tb_x")
    chosen = Settings(server="http://127.0.0.1:9")

    with (
        click.Context(click.Command("status"), obj=chosen),
        pytest.raises(io.UnsupportedOperation),
        session(),
    ):
        raise io.UnsupportedOperation("fileno")
