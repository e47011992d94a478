"""`script/bench logs`: 200 guests that log 50 lines a second each, to two clients.

The lines go into real recorders in several processes, as in the workers of as many
batches, through the database and Daphne to a client of the protocol, which must get
all of them, and to one that looks as the run page does, at the newest. Each line
carries the clock, which is one for all processes of a machine.
"""

import subprocess
import sys
import threading
import time
from collections import defaultdict
from pathlib import Path
from statistics import quantiles

from benchmarks.measuring import Table, conclude, folder, parser, usage
from benchmarks.orchestrator import write_testbed
from testbed.client.watching import Frame, frames, send
from tests.live.flood import Flood, close_run, log_writers, open_run, read_line
from tests.live.pages import Pages
from tests.live.stack import Stack, simulated_stack

TARGET_P50_S, TARGET_P99_S = 0.3, 1.0
SLUG = "flood"
LOG_WRITERS = 4
COUNT = (
    "from testbed.models import Run; run = Run.objects.get(pk={run}); "
    "print(run.events.filter(kind='log').count(), run.last_seq, run.events.count())"
)


class Listener:
    """A client in a thread of its own: its lines, their delays, and its faults."""

    def __init__(self, pages: Pages, run: int, query: str, *, is_whole: bool) -> None:
        self._pages = pages
        self._address = f"/ws/orchestration/{run}/{query}"
        self._is_whole = is_whole
        self._next: dict[str, int] = defaultdict(int)
        self.late_s: list[float] = []
        self.faults = 0
        self.status = ""
        self.first_at = self.last_at = 0.0
        self._is_connected = threading.Event()
        self._thread = threading.Thread(target=self._listen)
        self._thread.start()
        self._is_connected.wait()

    def join(self) -> None:
        """Wait for the end of the run."""
        self._thread.join()

    def _listen(self) -> None:
        with self._pages.socket(self._address) as socket:
            send(socket, {"type": "subscribe", "after": 0})
            self._is_connected.set()
            for frame in frames(socket):
                now = time.monotonic()
                for event in frame.get("events", [frame]):
                    if event.get("kind") == "log":
                        self._see(event, now)
                self.status = frame.get("status", self.status)

    def _see(self, event: Frame, now: float) -> None:
        clock, number = read_line(event["text"])
        expected = self._next[event["resource"]]
        is_wrong = number != expected if self._is_whole else number < expected
        self.faults += is_wrong
        self._next[event["resource"]] = number + 1
        self.late_s.append(now - clock)
        self.first_at = self.first_at or now
        self.last_at = now


def main() -> int:
    """Run the benchmark."""
    options = parser("a flood of log lines, to websocket clients")
    options.add_argument("--resources", type=int, default=200)
    options.add_argument("--rate", type=float, default=50, help="lines/s of each")
    options.add_argument("--seconds", type=float, default=60)
    chosen = options.parse_args()
    flood = Flood(chosen.resources, chosen.rate, chosen.seconds)
    with folder(keep=chosen.keep) as place:
        write_testbed(place / "testbed", 1, 1)
        with simulated_stack(place, hosts=1) as stack:
            table = measure(stack, place / "testbed", flood)
    return conclude(table, strict=chosen.strict)


def measure(stack: Stack, testbed: Path, flood: Flood) -> Table:
    """Run the writers and sum up the lines that each client received."""
    stack.add_user("owner")
    client = stack.client("owner")
    client.create_testbed(SLUG, testbed)
    # The writers replace the worker: the product's own has nothing to do here.
    stack.stop("worker")
    run = open_run(stack, SLUG, flood)
    before = usage(stack.processes["web"].pid)
    reader = Listener(client.pages, run, "?batch=1", is_whole=True)
    watcher = Listener(
        client.pages, run, "?render=html&batch=1&log=tail", is_whole=False
    )
    with log_writers(stack, [run], flood, processes=LOG_WRITERS) as writing:
        memory_mib, worker_cpu_s = wait_for(writing)
    close_run(stack, run)
    reader.join()
    watcher.join()
    after = usage(stack.processes["web"].pid)
    stored, last_seq, rows = map(int, stack.shell(COUNT.format(run=run)).split())
    lost = flood.lines - len(reader.late_s) + reader.faults
    table = Table(f"{flood.resources} guests, {flood.lines:,} lines")
    # Guests start and end one by one, so a flood is thinner at its ends.
    wanted = 0.95 * flood.resources * flood.lines_per_s
    got_per_s = len(reader.late_s) / (reader.last_at - reader.first_at)
    table.add("lines stored and received", got_per_s, "/s", at_least=wanted)
    table.add("lines lost, double or in disorder", lost, at_most=0)
    table.add("  not stored", flood.lines - stored, at_most=0)
    table.add("  gaps in the numbers", last_seq - rows, at_most=0)
    add_late(table, "line to client", reader)
    add_late(table, "line to page", watcher)
    table.add("  lines that the page was shown", len(watcher.late_s))
    table.add("  in disorder", watcher.faults, at_most=0)
    table.add("peak memory of the web", after.peak_mib, "MiB")
    table.add("  before", before.peak_mib, "MiB")
    table.add(f"  of the {LOG_WRITERS} recording processes", memory_mib, "MiB")
    lines_us = 1e6 / flood.lines
    table.add("CPU of a line, recorded", worker_cpu_s * lines_us, "us")
    table.add("  sent to both", (after.cpu_s - before.cpu_s) * lines_us, "us")
    return table


def add_late(table: Table, what: str, listener: Listener) -> None:
    """Add the delays of a listener's lines."""
    cuts = quantiles(listener.late_s, n=100)
    table.add(f"{what}, p50", cuts[49], "s", at_most=TARGET_P50_S)
    table.add(f"{what}, p99", cuts[98], "s", at_most=TARGET_P99_S)


def wait_for(writing: "list[subprocess.Popen[bytes]]") -> tuple[float, float]:
    """Wait until every line is stored; return peak memory and CPU seconds."""
    last: dict[int, tuple[float, float]] = {}
    while any(writer.poll() is None for writer in writing):
        for writer in writing:
            seen = usage(writer.pid)
            if seen.processes:
                last[writer.pid] = (seen.peak_mib, seen.cpu_s)
        time.sleep(0.5)
    if any(writer.returncode for writer in writing):
        raise RuntimeError("a writing process failed")
    memory, cpu = zip(*last.values(), strict=True)
    return sum(memory), sum(cpu)


if __name__ == "__main__":
    sys.exit(main())
