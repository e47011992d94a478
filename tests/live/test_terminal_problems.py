"""Wrong words, files and servers of the real `testbed`: a sentence, a hint, an exit code.

Each is a process of its own against the real product, whose hosts are rehearsed.
"""

import http.server
import resource
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.live.stack import Stack
from tests.live.test_terminal import PATIENCE_S, Terminal
from tests.live.test_terminal import home as home
from tests.live.test_terminal import terminal as terminal

pytestmark = pytest.mark.live
MOST_FILE_BYTES = 4096


@pytest.fixture
def stranger() -> Iterator[str]:
    """The address of a web server that is no testbed's."""
    handler = http.server.SimpleHTTPRequestHandler
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def refused(terminal: Terminal, *words: str, code: int) -> tuple[str, str]:
    """Run a command that fails; return its sentence and its hint."""
    lines = terminal.run(*words, code=code).splitlines()
    errors = [at for at, line in enumerate(lines) if line.startswith("Error: ")]
    assert len(errors) == 1, lines
    assert not any("Traceback" in line for line in lines), lines
    sentence, hint = (*lines[errors[0] :], "")[:2]
    assert sentence.endswith("."), lines
    assert hint.startswith("  "), lines
    return sentence, hint


def test_server_that_does_not_answer_is_named(terminal: Terminal) -> None:
    terminal.environment["TESTBED_TOKEN"] = "tb_x"
    for address in ("http://127.0.0.1:9", "https://nowhere.invalid"):
        sentence, hint = refused(terminal, "status", "--server", address, code=1)
        assert f"{address} does not answer" in sentence
        assert "does the server run?" in hint


def test_server_without_tls_is_named(terminal: Terminal, product: Stack) -> None:
    terminal.environment["TESTBED_TOKEN"] = "tb_x"
    address = product.url.replace("http://", "https://")

    sentence, _ = refused(terminal, "status", "--server", address, code=1)

    assert f"{address} does not answer" in sentence


def test_server_that_is_no_testbed_is_named(terminal: Terminal, stranger: str) -> None:
    terminal.environment["TESTBED_TOKEN"] = "tb_x"

    sentence, hint = refused(terminal, "status", "--server", stranger, code=1)

    assert f"{stranger} is no testbed server" in sentence
    assert "Compare the address" in hint


def test_wrong_token_is_refused_and_login_named(
    terminal: Terminal, product: Stack
) -> None:
    terminal.environment["TESTBED_TOKEN"] = "tb_wrong"

    sentence, hint = refused(terminal, "status", "--server", product.url, code=3)

    assert "This API token does not exist, or was revoked." in sentence
    assert f"testbed login {product.url}" in hint


def test_revoked_token_is_refused(terminal: Terminal, product: Stack) -> None:
    text = product.shell(
        "from django.contrib.auth.models import User\n"
        "from testbed.access.tokens import make_token\n"
        "owner = User.objects.get(username='owner')\n"
        "row, text = make_token(owner, 'lost', ('run',), 1)\n"
        "print(row.pk, text)"
    )
    number, token = text.split()[-2:]
    terminal.run("tokens", "revoke", number)
    terminal.environment |= {"TESTBED_TOKEN": token, "TESTBED_SERVER": product.url}

    sentence, hint = refused(terminal, "testbeds", "list", code=3)

    assert "was revoked" in sentence
    assert f"testbed login {product.url}" in hint


def test_unknown_testbed_and_run_are_refused(terminal: Terminal) -> None:
    words = ("status", "--project-name", "owner/none")
    sentence, hint = refused(terminal, *words, code=3)
    assert "There is no testbed owner/none" in sentence
    assert "testbed testbeds list" in hint
    sentence, hint = refused(terminal, "logs", "999999", code=3)
    assert "There is no run 999999" in sentence
    assert "testbed runs" in hint


def test_yaml_that_cannot_be_read_is_named(terminal: Terminal) -> None:
    yaml = terminal.folder / "kvm-compose.yaml"
    yaml.write_bytes(b"\xff\xfe\x00machines")
    assert "kvm-compose.yaml:1:1 error" in terminal.run("check", code=1)
    terminal.run("up", code=1)
    yaml.write_text("machines: [")
    assert "kvm-compose.yaml:2:1 error: Not valid" in terminal.run("check", code=1)
    yaml.unlink()
    yaml.mkdir()
    sentence, _ = refused(terminal, "check", code=2)
    assert "There is no kvm-compose.yaml in" in sentence


def test_folder_without_a_yaml_is_named(terminal: Terminal) -> None:
    (terminal.folder / "kvm-compose.yaml").unlink()
    for words in (("check",), ("plan",), ("diff",), ("up",), ("sync",)):
        sentence, hint = refused(terminal, *words, code=2)
        assert "There is no kvm-compose.yaml in" in sentence or "named" in sentence
        assert hint
    sentence, _ = refused(terminal, "check", "--input", "none/here", code=2)
    assert "There is no none/here." in sentence


def test_file_that_does_not_fit_on_the_disk_leaves_nothing(terminal: Terminal) -> None:
    """A limit of the process stands for a full disk: writing fails in the same way."""
    name = f"big-{secrets.token_hex(3)}.bin"
    (terminal.folder / name).write_bytes(b"x" * 3 * MOST_FILE_BYTES)
    terminal.run("generate-artefacts")
    before = sorted(one.name for one in terminal.folder.iterdir())

    said = limited(terminal, "artefacts", "download", "all.zip")
    assert "all.zip was not written: File too large." in said
    assert sorted(one.name for one in terminal.folder.iterdir()) == before

    (terminal.folder / name).write_bytes(b"old")
    said = limited(terminal, "sync", "--take", name)
    assert "File too large" in said
    assert (terminal.folder / name).read_bytes() == b"old"


def test_output_that_is_full_is_one_sentence(terminal: Terminal) -> None:
    with Path("/dev/full").open("wb") as full:
        done = started(terminal, "init", "--list", stdout=full)
    assert done.returncode == 1
    assert done.stderr.count("\n") == 2, done.stderr
    assert "No space left on device." in done.stderr


def limited(terminal: Terminal, *words: str) -> str:
    """Run a command that may write no large file; return what it said of its failure."""

    def limit() -> None:
        sizes = (MOST_FILE_BYTES, MOST_FILE_BYTES)
        resource.setrlimit(resource.RLIMIT_FSIZE, sizes)

    done = started(terminal, *words, stdout=subprocess.DEVNULL, preexec_fn=limit)
    assert done.returncode == 1, done.stderr
    assert done.stderr.startswith("Error: "), done.stderr
    assert done.stderr.count("\n") == 2, done.stderr
    return done.stderr


def started(
    terminal: Terminal, *words: str, **more: object
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "testbed.client.terminal.program", *words],
        cwd=terminal.folder,
        env=terminal.environment,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        timeout=PATIENCE_S,
        **more,
    )
