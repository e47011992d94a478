"""Packets of a ping between guests on two hosts, captured by a tool that ends in any way.

Between the guests' bridges is one without guests: a patch joins it to the one on main,
a tunnel to the other. A program as a tool is followed, and stopped, by the client of the
command line.
"""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.live import faults
from tests.live.client import Client
from tests.live.pair.conftest import SLUG
from tests.live.rows import rows
from tests.live.stack import Stack
from tests.live.watch import Guest, cancel, key_of, project, ran, wait_until

pytestmark = pytest.mark.live
ECHO = "icmp[icmptype]"
ENDED = ("succeeded", "failed", "cancelled", "interrupted")
NONE_LEFT = "No process that carries the mark of an unfinished task is left."


class Captured:
    """A capture at guest `near`, or on a bridge, which the server drives."""

    def __init__(self, stack: Stack, owner: Client, **capture: object) -> None:
        place = {} if "bridge" in capture else {"guest": "near"}
        wanted = {"form": "capture", "capture": {**place, **capture}}
        self.number = owner.ask(SLUG, "exec", **wanted).number
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
        """Return how its run ended, with nothing left of it."""
        query = "SELECT status, leftovers FROM testbed_run WHERE id = ?"

        def status() -> str:
            ((status, leftovers),) = rows(self._stack, query, self.number)
            return str(status) if status in ENDED and leftovers == "[]" else ""

        return wait_until(status, f"run {self.number} does not end")


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


def mirrors(stack: Stack) -> list[str]:
    """Return the testbeds whose captures have a mirror on main."""
    ports, rows = (
        stack.main.run(
            *("ovs-vsctl", "-f", "csv", "--no-heading", "--"),
            *("--columns=external_ids", "list", table),
        )
        for table in ("Port", "Mirror")
    )
    marks = [line for line in rows.splitlines() if "capture=" in line]
    assert sorted(marks) == sorted(p for p in ports.splitlines() if "capture=" in p)
    return [re.search(r"testbed=([\w-]+)", mark)[1] for mark in marks]


@contextmanager
def speaking_bridge(stack: Stack) -> Iterator[None]:
    """Have a bridge of somebody else on main, with one machine that asks for another."""
    netdev = ("--", "set", "Bridge", "br-else", "datapath_type=netdev")
    try:
        stack.main.run("ovs-vsctl", "add-br", "br-else", *netdev)
        stack.main.run("ip", "address", "add", "192.0.2.1/24", "dev", "br-else")
        stack.main.run("ip", "link", "set", "br-else", "up")
        yield
    finally:
        stack.main.run("ovs-vsctl", "del-br", "br-else")


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


def test_bridge_shows_what_its_patch_and_tunnel_carry_once_and_nothing_else(
    stack, owner
):
    everything = Captured(stack, owner, bridge="br2")
    asked = Captured(stack, owner, bridge="br2", filter=f"{ECHO} == icmp-echo")
    made = mirrors(stack)

    with speaking_bridge(stack):
        stack.main.run("ping", "-c1", "-W1", "192.0.2.2", check=False)
        address = ping(stack)
    wait_until(lambda: len(asked.packets) >= 3, "the ping was not captured")
    cancel(owner, asked.number)
    asked.wait_for_the_end()
    left = mirrors(stack)
    cancel(owner, everything.number)

    assert everything.wait_for_the_end() == "cancelled"
    lines = everything.packets
    key = key_of(stack, SLUG)
    assert made == [key, key]
    assert left == [key]
    assert mirrors(stack) == tcpdumps(stack) == []
    assert len([line for line in lines if f"> {address}: ICMP echo" in line]) == 3
    assert len([line for line in lines if "ICMP echo reply" in line]) == 3
    assert len(asked.packets) == 3
    assert not any("192.0.2." in line for line in lines), lines


@pytest.mark.slow
def test_capture_ends_with_its_time(stack, owner):
    captured = Captured(stack, owner, most_s=2)

    assert captured.wait_for_the_end() == "succeeded"
    assert tcpdumps(stack) == []


def test_tool_shows_its_lines_at_the_command_line_until_it_is_stopped(stack, owner):
    line = "while :; do echo tick; echo odd >&2; sleep 0.2; done"
    words = ("exec", "near", "--tool", "--shell", "--", line)
    access = {"TESTBED_SERVER": stack.url, "TESTBED_TOKEN": stack.tokens["owner"]}

    # A shell starts what runs beside it, as script/test runs this, without Ctrl+C.
    program = ("-m", "testbed.client.terminal.program")
    with subprocess.Popen(
        ["env", "--default-signal=INT", sys.executable, *program, *words],
        env=os.environ | access | {"TESTBED_PROJECT": SLUG},
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

    number = int(re.search(r"Run (\d+) is cancelled", errors)[1])
    [block] = owner.answers(number)["blocks"]
    assert shown == ["near: tick\n"] * 3
    assert "near: odd\n" in errors
    assert "Stopped by owner. " in errors
    assert errors.endswith(f"{NONE_LEFT}\n")
    assert client.returncode == 130
    assert block["lines"] == len(block["output"]) >= 6


@pytest.mark.parametrize(
    "place",
    [pytest.param({"guest": "near"}, marks=pytest.mark.slow), {"bridge": "br2"}],
)
def test_killed_worker_leaves_no_capture_after_repair(stack, owner, place):
    captured = Captured(stack, owner, **place)

    faults.kill_pool_process(stack)

    assert captured.wait_for_the_end() in ("interrupted", "failed")
    assert tcpdumps(stack) == mirrors(stack) == []
    captured.packets  # noqa: B018 - raises when the file is none


def test_down_ends_captures(stack, owner):
    captured = [Captured(stack, owner), Captured(stack, owner, bridge="br2")]

    down = ran(owner, SLUG, "down")

    assert down.status == "succeeded", down.words
    assert {one.wait_for_the_end() for one in captured} == {"cancelled"}
    assert tcpdumps(stack) == mirrors(stack) == []
