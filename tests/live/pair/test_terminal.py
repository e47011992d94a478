"""The command `testbed` at real guests, on main and behind a Debian 13 host."""

import json
import os
import pty
import re
import shutil
import signal
import subprocess
import sys
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.live.pair.conftest import SLUG
from tests.live.pair.test_consoles import SHELL
from tests.live.stack import CHECKOUT, Stack
from tests.live.watch import DATA, Guest, wait_until

pytestmark = pytest.mark.live
GUESTS = ("near", "away")
PATIENCE_S = 60.0
PROGRAM = (sys.executable, "-m", "testbed.client.terminal.program")
TOKEN = """
from django.contrib.auth.models import User
from testbed.access.tokens import make_token
owner = User.objects.get(username="owner")
print(make_token(owner, "terminal", ("run", "edit", "manage"), 1)[1])
"""


class Terminal:
    """The screen and the keyboard of one `testbed` process."""

    def __init__(self, hand: int, process: "subprocess.Popen[bytes]") -> None:
        self._hand = hand
        self._process = process
        self.seen = b""

    def type(self, keys: bytes) -> None:
        os.write(self._hand, keys)

    def wait(self, pattern: bytes) -> None:
        """Read until a pattern is on the screen."""
        ends_at = time.monotonic() + PATIENCE_S
        os.set_blocking(self._hand, False)
        while not re.search(pattern, self.seen):
            assert time.monotonic() < ends_at, self.seen[-2000:]
            try:
                self.seen += os.read(self._hand, 65536)
            except BlockingIOError:
                time.sleep(0.05)

    def interrupt(self) -> None:
        """Send the signal of Ctrl+C."""
        self._process.send_signal(signal.SIGINT)

    def end(self) -> int:
        """Return the exit code."""
        return self._process.wait(PATIENCE_S)


@pytest.fixture(scope="module")
def environment(
    stack: Stack, running: None, tmp_path_factory: pytest.TempPathFactory
) -> dict[str, str]:
    token = re.search(r"tb_\S+", stack.shell(TOKEN))
    assert token
    return os.environ | {
        "XDG_CONFIG_HOME": str(tmp_path_factory.mktemp("config")),
        "XDG_CACHE_HOME": str(tmp_path_factory.mktemp("cache")),
        "PYTHONPATH": str(CHECKOUT),
        "TESTBED_SERVER": stack.url,
        "TESTBED_TOKEN": token.group(),
        "TESTBED_PROJECT": SLUG,
        "TERM": "xterm",
    }


@contextmanager
def terminal(
    environment: dict[str, str], folder: Path, *words: str
) -> Iterator[Terminal]:
    hand, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 80))
    process = subprocess.Popen(
        [*PROGRAM, *words],
        stdin=end,
        stdout=end,
        stderr=end,
        cwd=folder,
        env=environment,
        start_new_session=True,
    )
    os.close(end)
    try:
        yield Terminal(hand, process)
    finally:
        process.kill()
        process.wait()
        os.close(hand)


def run(environment: dict[str, str], folder: Path, *words: str) -> str:
    done = subprocess.run(
        [*PROGRAM, *words],
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=10 * PATIENCE_S,
    )
    assert done.returncode == 0, (done.stdout, done.stderr)
    return done.stdout + done.stderr


@pytest.mark.parametrize("guest", GUESTS)
@pytest.mark.parametrize("mode", ["serial", "shell"])
def test_console_of_a_guest_on_any_host_answers(
    stack: Stack, environment: dict[str, str], tmp_path: Path, guest: str, mode: str
) -> None:
    Guest(stack, SLUG, guest).run(SHELL)
    how = ["--shell"] if mode == "shell" else []
    with terminal(environment, tmp_path, "console", guest, *how) as window:
        window.wait(b"Connected")
        window.type(f"echo {mode}-$((6*7))\r".encode())
        window.wait(f"{mode}-42".encode())
        window.type(b"\x1d")
        assert window.end() == 0


def test_command_and_files_of_real_guests_come_here(
    environment: dict[str, str], tmp_path: Path
) -> None:
    said = run(environment, tmp_path, "exec", "@all", "--", "uname", "-s")
    assert "Linux" in said

    run(environment, tmp_path, "fetch", "@all", "/etc/hostname", "--to", "came")

    names = {path.name for path in (tmp_path / "came").rglob("*") if path.is_file()}
    assert "hostname" in names


def test_interrupt_ends_the_command_in_real_guests_of_both_hosts(
    stack: Stack, environment: dict[str, str], tmp_path: Path
) -> None:
    def sleepers() -> list[str]:
        looks = "ps | grep '[s]leep 611' || true"
        return [Guest(stack, SLUG, name).run(looks) for name in GUESTS]

    words = ("exec", "@all", "--", "sleep", "611")
    with terminal(environment, tmp_path, *words) as window:
        wait_until(lambda: all(sleepers()))
        window.interrupt()
        assert window.end() == 130

    assert not any(sleepers())


def test_whole_cycle_of_a_folder_on_two_hosts(
    environment: dict[str, str], tmp_path: Path
) -> None:
    folder, name = tmp_path / "cycle", "owner/cycle"
    shutil.copytree(DATA / "pair", folder)
    mine = {
        key: value for key, value in environment.items() if key != "TESTBED_PROJECT"
    }

    def testbed(*words: str) -> str:
        return run(mine, folder, *words)

    testbed("check")
    said = testbed("up")
    assert f"{name} was made." in said
    assert "succeeded" in said
    shown = json.loads(testbed("status", "--json"))
    assert shown["condition"] == "up"
    hosts = {guest["guest"]: guest["host"] for guest in shown["guest_list"]}
    assert sorted(hosts) == sorted(GUESTS)
    assert len(set(hosts.values())) == 2
    assert f"{name} is as the folder wants it." in testbed("diff")
    (folder / "note").write_text("for both")
    testbed("sync")
    testbed("push", "@all", "note", "/tmp/note")
    assert "for both" in testbed("exec", "@all", "--", "cat", "/tmp/note")
    testbed("fetch", "@all", "/tmp/note", "--to", "came")
    came = [path.read_text() for path in (folder / "came").rglob("note")]
    assert came == ["for both"] * 2
    testbed("snapshot", "create", "-s", "before", "-a")
    # The list is that of the last look.
    wait_until(lambda: "before" in testbed("snapshot", "list"))
    assert "succeeded" in testbed("down")
    testbed("testbeds", "destroy", name, "--yes")
    assert name not in testbed("testbeds", "list")
