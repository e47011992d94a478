"""Packets of a ping between guests on two hosts, captured by a tool that ends in any way.

A program as a tool is followed, and stopped, by the client of the command line.
"""

import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from testbed.client.api import Client
from tests.live import faults
from tests.live.pair.conftest import SLUG
from tests.live.stack import PASSWORD, Stack
from tests.live.watch import Guest, cancel, project, ran, wait_until

pytestmark = pytest.mark.live
NONE_LEFT = "No process that carries the mark of an unfinished task is left."


class Captured:
    """A capture at guest `near`, which the server drives."""

    def __init__(self, stack: Stack, owner: Client, **capture: object) -> None:
        wanted = {"form": "capture", "capture": {"guest": "near", **capture}}
        self.number = owner.execute(SLUG, wanted).number
        answers = project(stack, SLUG).answers(self.number)
        self.file: Path = answers / "capture.pcap"
        self._stack = stack
        # tcpdump writes the file's header once it listens.
        wait_until(lambda: self.file.is_file() and self.size > 0, "nothing is captured")

    @property
    def size(self) -> int:
        return self.file.stat().st_size

    @property
    def packets(self) -> list[str]:
        """The packets that tcpdump reads of the file, which has to be whole."""
        words = ["tcpdump", "-n", "-r", str(self.file)]
        done = subprocess.run(words, check=True, capture_output=True, text=True)
        return done.stdout.splitlines()

    def wait_for_the_end(self) -> str:
        """Return how its run ended."""
        code = (
            "from testbed.models import Run\n"
            f"run = Run.objects.get(pk={self.number})\n"
            "print(run.status if run.is_over and not run.leftovers else '')"
        )

        def status() -> str:
            return self._stack.shell(code).strip()

        wait_until(lambda: bool(status()), f"run {self.number} does not end")
        return status()


def tcpdumps(stack: Stack) -> list[str]:
    """Return the tcpdumps that capture on main."""
    pids = subprocess.run(
        ["ip", "netns", "pids", stack.main.name],
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()
    names = {pid: Path(f"/proc/{pid}/comm") for pid in pids}
    return [pid for pid, path in names.items() if "tcpdump" in _read(path)]


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""


def ping(stack: Stack, count: int = 3) -> str:
    """Ping `away` from `near` and return its address."""
    away = project(stack, SLUG).read_state().guest("away").interfaces[0]
    shown = Guest(stack, SLUG, "away").run(f"ip -4 -o addr show dev {away.name}")
    address = shown.split("inet ")[1].split("/")[0]
    Guest(stack, SLUG, "near").run(f"ping -c {count} -W 5 {address}")
    return address


def test_capture_has_what_its_filter_passes_and_ends_by_cancel(stack, owner):
    captured = Captured(stack, owner, filter="icmp", snaplen=96)
    user = Path(f"/proc/{tcpdumps(stack)[0]}").stat().st_uid

    address = ping(stack)
    wait_until(lambda: len(captured.packets) >= 6, "the ping was not captured")
    cancel(owner, captured.number)

    assert captured.wait_for_the_end() == "cancelled"
    assert tcpdumps(stack) == []
    assert user != 0
    message = owner.answers(captured.number)["message"]
    assert message.startswith(f"Stopped by owner. {len(captured.packets)} packets, ")
    assert message.endswith(NONE_LEFT)
    assert all("ICMP echo" in line and address in line for line in captured.packets)


def test_capture_ends_with_its_time(stack, owner):
    captured = Captured(stack, owner, most_s=2)

    assert captured.wait_for_the_end() == "succeeded"
    assert tcpdumps(stack) == []


def test_tool_shows_its_lines_at_the_command_line_until_it_is_stopped(
    stack, owner, tmp_path
):
    secret = tmp_path / "password"
    secret.write_text(PASSWORD)
    sign_in = (stack.url, "--user", "owner", "--password-file", str(secret))
    line = "while :; do echo tick; echo odd >&2; sleep 0.2; done"
    words = (*sign_in, "exec", SLUG, "near", "--tool", "--shell", "--", line)

    # A shell starts what runs beside it, as script/test runs this, without Ctrl+C.
    interruptible = ("env", "--default-signal=INT")
    with subprocess.Popen(
        [*interruptible, sys.executable, "-m", "testbed.client", *words],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    ) as client:
        try:
            shown = [client.stdout.readline() for _ in range(3)]
            client.send_signal(signal.SIGINT)
            _, errors = client.communicate(timeout=60)
        finally:
            client.kill()

    number = int(re.search(r"Cancelling run (\d+)", errors)[1])
    [block] = owner.answers(number)["blocks"]
    assert shown == ["near: tick\n"] * 3
    assert "near: odd\n" in errors
    assert "Stopped by owner. " in errors
    assert errors.endswith(f"{NONE_LEFT}\n")
    assert client.returncode == 130
    assert block["lines"] == len(block["output"]) >= 6


def test_killed_worker_leaves_no_capture_after_repair(stack, owner):
    captured = Captured(stack, owner)

    faults.kill_pool_process(stack)

    assert captured.wait_for_the_end() in ("interrupted", "failed")
    assert tcpdumps(stack) == []
    captured.packets  # noqa: B018 - raises when the file is none


def test_down_ends_a_capture(stack, owner):
    captured = Captured(stack, owner)

    down = ran(owner, SLUG, "down")

    assert down.status == "succeeded", down.words
    assert captured.wait_for_the_end() == "cancelled"
    assert tcpdumps(stack) == []
