"""`script/bench console`: a key press to its echo, a flood, and 50 open consoles.

Real guests, and the product's own port: the frames that a browser sends and gets. The
floor is `virsh console` and `ssh` on the guest's own host, by turns with ours in the
same run: a serial line has one reader at a time. The flood comes from an sshd on main in
a guest's place, as an emulated guest prints slower than anything takes it. It has lines
of 78 characters: of lines of one, as `yes` prints them, a terminal of the kernel itself
takes no 10 MiB/s.
"""

import argparse
import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import (
    AbstractContextManager,
    ExitStack,
    closing,
    contextmanager,
    suppress,
)
from statistics import median, quantiles
from threading import Thread
from typing import Protocol

from websockets.exceptions import ConnectionClosed

from benchmarks.measuring import Table, conclude, folder, parser, usage
from testbed.client.watching import Frame
from tests.live.client import Client
from tests.live.console_page import ConsolePage, console_page
from tests.live.ssh_targets import targets_beside
from tests.live.stack import Stack, real_stack
from tests.live.watch import DATA, Guest, project

RATIO, MIB_PER_S = 1.5, 10.0
SLUG, NEAR, GUESTS = "consoles", "near", ("near", "away")
TARGET = "to-main-0"
# Of one guest: as many as there may be (`orchestration/transport/ssh/transport.py`).
SHELLS = 8
IDLE_S = 10.0
WITHIN_S = 60.0
MIB = 1024 * 1024
PROCESSES = {"web": "the web", "consoles": "the gateway"}
KEY, WARM_UP = b"x", 5
SETTLE_S, BETWEEN_S = 0.5, 0.02
# Programs that only let the terminal echo.
SERIAL_ECHO = "setsid sh -c 'exec cat <>/dev/ttyS0 > /dev/null' > /dev/null 2>&1 &"
# A word that is not in what is typed, which the terminal shows, too.
READY_TYPED, READY = "rea''dy", b"ready"
SHELL_ECHO = f"echo {READY_TYPED}; cat > /dev/null\n".encode()
END_TYPED, END = "the-e''nd", b"the-end"
LINE = "0123456789abc" * 6


class Typist(Protocol):
    """Something that types into a guest and reads what comes back."""

    def type(self, data: bytes) -> None:
        """Type."""

    def read(self) -> bytes:
        """Return the next output."""


Way = Callable[[], AbstractContextManager[Typist]]


class OnTerminal:
    """A program on a terminal of this machine."""

    def __init__(self, words: list[str]) -> None:
        self._terminal, theirs = pty.openpty()
        self._process = subprocess.Popen(
            words, stdin=theirs, stdout=theirs, stderr=theirs, start_new_session=True
        )
        os.close(theirs)

    def type(self, data: bytes) -> None:
        """Type."""
        os.write(self._terminal, data)

    def read(self) -> bytes:
        """Return the next output. Raises: TimeoutError, OSError (the program ended)."""
        if not select.select([self._terminal], [], [], WITHIN_S)[0]:
            raise TimeoutError("The program prints nothing.")
        return os.read(self._terminal, 64 * 1024)

    def close(self) -> None:
        """End the program at once; virsh does not heed SIGTERM."""
        os.killpg(self._process.pid, signal.SIGKILL)
        self._process.wait(WITHIN_S)
        os.close(self._terminal)


class Ways:
    """Into one guest on main: ours, and the two programs beside it."""

    def __init__(self, stack: Stack, client: Client) -> None:
        self._client = client
        self._guest = Guest(stack, SLUG, NEAR)
        self._domain = project(stack, SLUG).read_state().guest(NEAR).domain

    def let_serial_echo(self) -> None:
        """Start the program that reads the serial line."""
        self._guest.run(SERIAL_ECHO)

    def serial(self) -> AbstractContextManager[ConsolePage]:
        """The serial console in the browser."""
        return console_page(self._client, SLUG, NEAR, "serial")

    def shell(self) -> AbstractContextManager[ConsolePage]:
        """The shell in the browser."""
        return console_page(self._client, SLUG, NEAR, "shell")

    @contextmanager
    def virsh(self) -> Iterator[OnTerminal]:
        """`virsh console`, which takes it from a page that is just being closed."""
        words = ("virsh", "console", "--force", self._domain)
        with closing(OnTerminal(self._guest.host.argv(*words))) as program:
            read_until(program, b"Ctrl + ]")
            yield program

    @contextmanager
    def ssh(self) -> Iterator[OnTerminal]:
        """`ssh` to the guest."""
        with closing(OnTerminal(self._guest.ssh("-tt"))) as program:
            yield program


class WaysToTarget:
    """Into the sshd on main: a shell in the browser, and `ssh` beside it."""

    def __init__(self, stack: Stack, client: Client) -> None:
        self._client = client
        state = project(stack, SLUG).read_state()
        way = state.way_to(state.guest(TARGET))
        known = f"UserKnownHostsFile={stack.folder}/known-target"
        options = (known, "StrictHostKeyChecking=no", "BatchMode=yes", "LogLevel=ERROR")
        words = ["ssh", "-tt", "-F", "none", "-i", state.identity_file]
        words += [word for option in options for word in ("-o", option)]
        self._words = stack.main.in_its_network(*words, f"root@{way.address}")

    def shell(self) -> AbstractContextManager[ConsolePage]:
        """The shell in the browser."""
        return console_page(self._client, SLUG, TARGET, "shell")

    @contextmanager
    def ssh(self) -> Iterator[OnTerminal]:
        """`ssh` to the same sshd."""
        with closing(OnTerminal(self._words)) as program:
            yield program


def main() -> int:
    """Run the benchmark."""
    options = parser("consoles, against virsh console and ssh")
    options.add_argument("--keys", type=int, default=50, help="of each turn")
    options.add_argument("--repeat", type=int, default=4, help="turns of each")
    options.add_argument("--mib", type=int, default=100, help="of the flood")
    options.add_argument("--consoles", type=int, default=50, help="open at once")
    chosen = options.parse_args()
    with folder(keep=chosen.keep) as place, real_stack(place, label="tbn") as stack:
        stack.add_user("owner")
        client = stack.client("owner")
        client.create_testbed(SLUG, DATA / "pair")
        if (status := client.run(SLUG, "up", ignore)) != "succeeded":
            raise RuntimeError(f"up ended {status}: {stack.log('worker')[-2000:]}")
        table = Table(f"consoles, load {os.getloadavg()[0]:.1f}")
        measure(table, stack, client, chosen)
    return conclude(table, strict=chosen.strict)


def ignore(frame: Frame) -> None:
    """Take a frame of a run."""


def measure(
    table: Table, stack: Stack, client: Client, chosen: argparse.Namespace
) -> None:
    """Add the rows of keys, open consoles and the flood."""
    ways = Ways(stack, client)
    ways.let_serial_echo()
    compare_keys(
        table, "serial", (ways.serial, ways.virsh), "virsh console", b"", chosen
    )
    compare_keys(table, "shell", (ways.shell, ways.ssh), "ssh", SHELL_ECHO, chosen)
    add_open(table, stack, client, chosen.consoles)
    with targets_beside(stack, SLUG, NEAR, 1):
        compare_floods(table, WaysToTarget(stack, client), chosen)
    for name in PROCESSES:
        table.add(f"peak memory of {PROCESSES[name]}", memory_mib(stack, name), "MiB")


def compare_keys(
    table: Table,
    what: str,
    ways: tuple[Way, Way],
    peer: str,
    first: bytes,
    chosen: argparse.Namespace,
) -> None:
    """Add the times from a key press to its echo, of ours and of a peer by turns."""
    late_ms: tuple[list[float], list[float]] = ([], [])
    for _ in range(chosen.repeat):
        for way, found in zip(ways, late_ms, strict=True):
            with way() as typist:
                found += echoes(typist, first, chosen.keys)
    for title, found in zip(
        (f"{what}, key to echo", f"  {peer}"), late_ms, strict=True
    ):
        cuts = quantiles(found, n=20)
        table.add(f"{title}, p50", cuts[9], "ms")
        table.add("  p95", cuts[18], "ms")
    ours, theirs = map(median, late_ms)
    table.add(f"  ratio of the medians, to {peer}", ours / theirs, at_most=RATIO)


def echoes(typist: Typist, first: bytes, count: int) -> list[float]:
    """Return the milliseconds from each key to its echo; the first keys are not timed."""
    if first:
        typist.type(first)
        read_until(typist, READY)
    time.sleep(SETTLE_S)
    late_ms = []
    for _ in range(WARM_UP + count):
        began_at = time.perf_counter()
        typist.type(KEY)
        read_until(typist, KEY)
        late_ms.append((time.perf_counter() - began_at) * 1000)
        time.sleep(BETWEEN_S)
    return late_ms[WARM_UP:]


def read_until(typist: Typist, word: bytes) -> int:
    """Read until the output has a word; return how many bytes that were."""
    tail, size = b"", 0
    while word not in tail:
        data = typist.read()
        size += len(data)
        tail = tail[-len(word) :] + data
    return size


def add_open(table: Table, stack: Stack, client: Client, count: int) -> None:
    """Add memory and load of web and gateway while many consoles are open."""
    before = {name: memory_mib(stack, name) for name in PROCESSES}
    with ExitStack() as opened:
        for number in range(count):
            guest = GUESTS[number % len(GUESTS)]
            mode = "shell" if number < SHELLS * len(GUESTS) else "serial"
            page = opened.enter_context(console_page(client, SLUG, guest, mode))
            Thread(target=keep_reading, args=(page,), daemon=True).start()
        cpu_s = {name: cpu_of(stack, name) for name in PROCESSES}
        time.sleep(IDLE_S)
        for name, title in PROCESSES.items():
            load = (cpu_of(stack, name) - cpu_s[name]) / IDLE_S * 100
            table.add(
                f"{count} consoles: memory of {title}", memory_mib(stack, name), "MiB"
            )
            table.add("  before", before[name], "MiB")
            table.add("  CPU while nothing is typed", load, "% of one")


def keep_reading(page: ConsolePage) -> None:
    """Read until the page is closed, as a browser does."""
    with suppress(ConnectionClosed):
        while True:
            with suppress(TimeoutError):
                page.read()


def compare_floods(
    table: Table, ways: WaysToTarget, chosen: argparse.Namespace
) -> None:
    """Add the rates at which a shell's output comes, ours and over ssh."""
    rates: tuple[list[float], list[float]] = ([], [])
    for _ in range(chosen.repeat):
        for way, found in zip((ways.shell, ways.ssh), rates, strict=True):
            with way() as typist:
                found.append(flood(typist, chosen.mib))
    ours, theirs = map(median, rates)
    title = f"shell, {chosen.mib} MiB of output"
    table.add(title, ours, "MiB/s", at_least=MIB_PER_S)
    table.add("  ssh", theirs, "MiB/s")
    table.add("  ratio to ssh", ours / theirs)


def flood(typist: Typist, mib: int) -> float:
    """Return the MiB a second of a command that prints lines."""
    typist.type(f"echo {READY_TYPED}\n".encode())
    read_until(typist, READY)
    typist.type(f"yes {LINE} | head -c {mib * MIB}; echo {END_TYPED}\n".encode())
    began_at = time.perf_counter()
    size = read_until(typist, END)
    return size / MIB / (time.perf_counter() - began_at)


def memory_mib(stack: Stack, name: str) -> float:
    """Return the peak memory of a process and of all below it."""
    return usage(stack.processes[name].pid).peak_mib


def cpu_of(stack: Stack, name: str) -> float:
    """Return the CPU seconds that a process has taken."""
    return usage(stack.processes[name].pid).cpu_s


if __name__ == "__main__":
    sys.exit(main())
