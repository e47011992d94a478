"""The real `testbed` process against the real product, whose hosts are rehearsed.

A user's whole cycle with a token: login, init, check, up, status, exec, down; Ctrl+C
once and twice, and a second process that attaches; a file that both sides edited; a
server that goes and comes back. Exit codes are those of docs/cli.md.
"""

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.live.stack import CHECKOUT, Stack
from tests.testbed.conftest import YAML

pytestmark = pytest.mark.live
HELD = "host-01"
PATIENCE_S = 120


class Terminal:
    """A shell in a folder, of a user with a configuration of its own."""

    def __init__(self, folder: Path, home: Path) -> None:
        self.folder = folder
        self.environment = os.environ | {
            "XDG_CONFIG_HOME": str(home),
            "XDG_CACHE_HOME": str(home / "cache"),
            "PYTHONPATH": str(CHECKOUT),
            "PYTHONUNBUFFERED": "1",
        }
        for name in ("TESTBED_TOKEN", "TESTBED_SERVER", "TESTBED_PROJECT"):
            self.environment.pop(name, None)

    def start(self, *words: str) -> subprocess.Popen[str]:
        """Start `testbed`; its output goes to one pipe."""
        return subprocess.Popen(
            [sys.executable, "-m", "testbed.client.terminal.program", *words],
            cwd=self.folder,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def run(self, *words: str, typed: str = "", code: int = 0) -> str:
        """Run `testbed` to its end; return all that it printed."""
        done = subprocess.run(
            [sys.executable, "-m", "testbed.client.terminal.program", *words],
            cwd=self.folder,
            env=self.environment,
            input=typed,
            capture_output=True,
            text=True,
            timeout=PATIENCE_S,
        )
        assert done.returncode == code, (words, done.stdout, done.stderr)
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def home(product: Stack, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The configuration of the owner, who signed in once for all tests."""
    text = product.shell(
        "from django.contrib.auth.models import User\n"
        "from testbed.access.tokens import make_token\n"
        "owner = User.objects.get(username='owner')\n"
        "print(make_token(owner, 'cli', ('run', 'edit', 'manage'), 1)[1])"
    )
    token = re.search(r"tb_\S+", text)
    assert token, text
    place = tmp_path_factory.mktemp("home")
    said = Terminal(place, place).run("login", product.url, typed=f"{token[0]}\n")
    assert f"Signed in at {product.url} as owner" in said
    return place


@pytest.fixture
def terminal(product: Stack, home: Path, tmp_path: Path) -> Iterator[Terminal]:
    """A terminal of the owner's, in a new folder with two guests."""
    folder = tmp_path / f"cli-{secrets.token_hex(3)}"
    folder.mkdir()
    (folder / "kvm-compose.yaml").write_text(YAML)
    yield Terminal(folder, home)
    faults(product).unlink(missing_ok=True)


def faults(product: Stack) -> Path:
    """Return the file with which a simulated host is told to fail."""
    folder = product.data / "runtime/simulated"
    folder.mkdir(parents=True, exist_ok=True)
    return folder / f"{HELD}.faults.json"


def hold(product: Stack, command: str = "test -d") -> None:
    """Let a command take ten minutes on a host; the first of `prepare-hosts`."""
    faults(product).write_text(json.dumps({command: {"sleep_s": 600}}))


def read_until(process: subprocess.Popen[str], words: str) -> str:
    """Read a process's output up to a line that has these words; return that line."""
    assert process.stdout is not None
    seen = []
    for line in process.stdout:
        seen.append(line)
        if words in line:
            return line
    raise AssertionError("".join(seen))


def ended(process: subprocess.Popen[str]) -> tuple[int, str]:
    """Wait for a process; return its exit code and the rest of its output."""
    rest, _ = process.communicate(timeout=PATIENCE_S)
    return process.returncode, rest


def number_of(process: subprocess.Popen[str]) -> str:
    """Return the number of the run that a process tells when it began."""
    found = re.search(r"Run (\d+)", read_until(process, "Run "))
    assert found
    return found[1]


def held_run(terminal: Terminal, product: Stack) -> tuple[subprocess.Popen[str], str]:
    """Start an Up that is held while it prepares a host."""
    hold(product)
    process = terminal.start("up")
    number = number_of(process)
    read_until(process, "Prepare")
    return process, number


def test_whole_cycle_of_a_testbed(terminal: Terminal, product: Stack) -> None:
    name = f"owner/{terminal.folder.name}"

    terminal.run("check")
    said = terminal.run("up")
    assert f"{name} was made." in said
    assert "succeeded" in said
    shown = json.loads(terminal.run("status", "--json"))
    assert shown["condition"] == "up"
    assert {guest["guest"] for guest in shown["guest_list"]} == {"web", "db"}
    assert f"{name} is as the folder wants it." in terminal.run("diff")
    assert "exec" not in terminal.run("plan")
    assert "Prepare" in terminal.run("logs") + terminal.run("plan")
    terminal.run("exec", "@all", "--", "true")
    assert "succeeded" in terminal.run("down")
    terminal.run("clear-artefacts", code=3)
    assert "This is erased:" in terminal.run("clear-artefacts", "--yes")
    assert "deleted" in terminal.run("testbeds", "destroy", name, "--yes")
    terminal.run("status", code=3)


def test_json_lines_are_the_frames_of_the_run(terminal: Terminal) -> None:
    process = terminal.start("up", "--json")

    code, text = ended(process)

    frames = [json.loads(line) for line in text.splitlines() if line.startswith("{")]
    assert code == 0, text
    assert frames[-1]["type"] == "run"
    assert {frame["type"] for frame in frames} >= {"ack", "event", "result", "run"}
    seqs = [frame["seq"] for frame in frames if "seq" in frame]
    assert seqs == sorted(set(seqs))


def test_one_interrupt_cancels_on_the_server(
    terminal: Terminal, product: Stack
) -> None:
    process, number = held_run(terminal, product)

    process.send_signal(signal.SIGINT)
    code, said = ended(process)

    assert code == 130, said
    assert f"Run {number} cancelled." in said
    assert '"status": "cancelled"' in terminal.run("runs", "--json")


@pytest.mark.parametrize(
    ("stage", "command"),
    [
        ("Ensure the firewall", "nft -f"),
        ("Create 2 bridges", "ip link set"),
        ("Copy the artefacts of 1 guest", "put /var/lib/testbed/projects"),
    ],
)
def test_interrupt_cancels_in_each_stage(
    terminal: Terminal, product: Stack, stage: str, command: str
) -> None:
    hold(product, command)

    process = terminal.start("up")
    number = number_of(process)
    read_until(process, stage)
    process.send_signal(signal.SIGINT)
    code, said = ended(process)

    assert code == 130, said
    assert f"Run {number} cancelled." in said


def test_two_interrupts_leave_the_run_to_a_second_process(
    terminal: Terminal, product: Stack
) -> None:
    process, number = held_run(terminal, product)

    process.send_signal(signal.SIGINT)
    read_until(process, "Ctrl+C once more leaves it running")
    process.send_signal(signal.SIGINT)
    code, said = ended(process)
    assert code == 130
    assert f"testbed attach {number}" in said
    assert '"status": "cancelled"' not in terminal.run("runs", "--json")

    second = terminal.start("attach", number)
    read_until(second, "Prepare")
    terminal.run("cancel", number)
    code, said = ended(second)
    assert code == 130, said
    assert f"Run {number} cancelled." in said


def test_run_that_fails_has_its_exit_code_and_reason(
    terminal: Terminal, product: Stack
) -> None:
    fault = {"": {"exit_code": 1, "stderr": "no such disk"}}
    faults(product).write_text(json.dumps(fault))

    said = terminal.run("up", code=1)

    assert "failed" in said


def test_web_that_restarts_in_the_middle_is_followed_on(
    terminal: Terminal, product: Stack
) -> None:
    process, number = held_run(terminal, product)

    product.stop("web")
    read_until(process, "The connection broke")
    product.start_web()
    terminal.run("cancel", number)
    code, said = ended(process)

    assert code == 130, said
    assert f"Run {number} cancelled." in said


def test_file_that_both_sides_edited_is_never_overwritten(
    terminal: Terminal, product: Stack
) -> None:
    script = terminal.folder / "a.sh"
    script.write_text("echo one\n")
    terminal.run("sync")
    home = Path(terminal.environment["XDG_CONFIG_HOME"])
    other = Terminal(terminal.folder.parent / "other", home)
    other.folder.mkdir()
    (other.folder / "kvm-compose.yaml").write_text(YAML)
    name = f"owner/{terminal.folder.name}"
    other.run("sync", "--project-name", name)
    (other.folder / "a.sh").write_text("echo other\n")
    other.run("sync", code=3)
    other.run("sync", "--send", "a.sh")
    script.write_text("echo mine\n")

    said = terminal.run("up", code=3)

    assert "a.sh: edited on the server and here" in said
    terminal.run("sync", "--take", "a.sh")
    assert script.read_text() == "echo other\n"
    terminal.run("sync")


def test_server_that_is_gone_is_one_sentence(terminal: Terminal) -> None:
    said = terminal.run("status", "--server", "http://127.0.0.1:9", code=2)
    assert "You are not signed in" in said
    terminal.environment["TESTBED_TOKEN"] = "tb_x"
    said = terminal.run("status", "--server", "http://127.0.0.1:9", code=1)
    assert said.count("\n") == 2
    assert "http://127.0.0.1:9 does not answer" in said


class Window:
    """`testbed tui` in a terminal of 80 by 24 characters, which tmux keeps."""

    def __init__(self, terminal: Terminal, *words: str) -> None:
        self._tmux = ["tmux", "-L", f"testbed-{secrets.token_hex(4)}", "-f", os.devnull]
        program = [sys.executable, "-m", "testbed.client.terminal.program", *words]
        self._do(
            *("new-session", "-d", "-x", "80", "-y", "24", *program),
            cwd=terminal.folder,
            env=terminal.environment | {"TERM": "xterm-256color", "LC_ALL": "C.UTF-8"},
        )

    def press(self, *keys: str) -> None:
        """Press keys, as tmux names them."""
        self._do("send-keys", *keys)

    def wait(self, words: str) -> str:
        """Wait until the screen has these words; return it."""
        text = ""
        for _ in range(PATIENCE_S * 10):
            text = self._do("capture-pane", "-p")
            if words in text:
                return text
            time.sleep(0.1)
        raise AssertionError(f"{words} is not on the screen:\n{text}")

    def wait_for_end(self) -> None:
        """Wait until the program ended, and its window with it."""
        for _ in range(PATIENCE_S * 10):
            has = [*self._tmux, "has-session"]
            if subprocess.run(has, capture_output=True).returncode:
                return
            time.sleep(0.1)
        raise AssertionError("The program goes on.")

    def close(self) -> None:
        """End the window, whatever it shows."""
        subprocess.run([*self._tmux, "kill-server"], capture_output=True)

    def _do(self, *words: str, **more: Any) -> str:
        command = [*self._tmux, *words]
        done = subprocess.run(
            command, capture_output=True, text=True, timeout=PATIENCE_S, **more
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


@pytest.mark.skipif(shutil.which("tmux") is None, reason="needs tmux")
def test_interface_starts_watches_and_cancels_a_run(
    terminal: Terminal, product: Stack
) -> None:
    name = f"owner/{terminal.folder.name}"
    terminal.run("generate-artefacts")
    hold(product)
    window = Window(terminal, "--project-name", name, "tui")
    try:
        window.wait("host-01")
        window.press("u")
        window.wait(f"Up of {name}.")
        window.press("Enter")
        window.wait("Prepare")
        window.press("c")
        window.wait("The server stops what it does")
        window.press("Enter")
        window.wait(": cancelled.")
        window.press("q")
        window.wait("1 Guests")
        window.press("q")
        window.wait("Running now")
        window.press("q")
        window.wait_for_end()
    finally:
        window.close()
    assert (
        json.loads(terminal.run("runs", "--json"))["items"][0]["status"] == "cancelled"
    )
