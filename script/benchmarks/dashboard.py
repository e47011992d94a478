"""`script/bench dashboard`: 100 browsers on 20 testbeds whose runs go on.

Half of the browsers have the page of a run open, half the list of testbeds. A browser
is what its page's script does: a websocket of HTML frames and, on the list, a poll of
the table every 30 seconds. Nothing is painted, so that a browser costs the machine
little. Runs are as in `script/bench logs`: real recorders write lines that carry the
machine's clock, for the pages of runs, and end tasks, which the list counts. With
`--polls` the lists have no websocket, and poll every four seconds.
"""

import json
import re
import subprocess
import sys
import threading
import time
from collections import defaultdict
from dataclasses import replace
from pathlib import Path
from statistics import quantiles

from websockets.exceptions import ConnectionClosed

from benchmarks.logs import Listener
from benchmarks.measuring import Table, conclude, folder, parser, usage
from benchmarks.orchestrator import write_testbed
from testbed.client.watching import send
from tests.live.flood import (
    Flood,
    close_run,
    log_writers,
    open_runs,
    step_writer,
)
from tests.live.pages import Pages
from tests.live.stack import Stack, simulated_stack

TARGET_P99_S = 1.0
POLL_S, POLL_LIVE_S = 4.0, 30.0
GUESTS = 4
# Each run ends a task so often; lines are written meanwhile, and a little longer.
PACE_S = 2.0
SLACK_S = 10.0
TABLE = {"HX-Request": "true", "HX-Target": "testbeds"}
ROW = re.compile(r'data-row="(\d+)" data-version="(\w+)"')
STEP = re.compile(r'href="/runs/(\d+)/".*?Set up guests, (\d+) of \d+', re.DOTALL)
# Of a run and a count of its tasks that are over: when, by the machine's clock.
Moments = dict[tuple[int, int], float]


class Watcher:
    """A browser on the list: by its socket it notes when it saw each task's end first."""

    def __init__(self, pages: Pages, number: int, poll_s: float) -> None:
        self._pages, self._poll_s = pages, poll_s
        self._is_over = threading.Event()
        self.seen: Moments = {}
        self.late_s: list[float] = []
        self.frames = self.bytes = 0
        self._shown: dict[int, int] = defaultdict(int)
        self._threads = [threading.Thread(target=self._poll, args=(number,))]
        if poll_s > POLL_S:
            self._threads.append(threading.Thread(target=self._listen))
        for thread in self._threads:
            thread.start()

    def close(self) -> None:
        """Look no longer."""
        self._is_over.set()
        for thread in self._threads:
            thread.join()

    def _poll(self, number: int) -> None:
        pause_s = self._poll_s * (number % 50) / 50  # they do not come all at once
        while not self._is_over.wait(pause_s):
            began_at = time.monotonic()
            page = self._pages.read("/", headers=TABLE)
            now = time.monotonic()
            self.late_s.append(now - began_at)
            self._see(page, now)
            pause_s = self._poll_s

    def _listen(self) -> None:
        page = self._pages.read("/", headers=TABLE)
        with self._pages.socket("/ws/testbeds/") as socket:
            send(socket, {"type": "show", "rows": dict(ROW.findall(page))})
            while not self._is_over.is_set():
                try:
                    text = socket.recv(timeout=1.0)
                except TimeoutError:
                    continue
                except ConnectionClosed:
                    return
                now = time.monotonic()
                self.frames, self.bytes = self.frames + 1, self.bytes + len(text)
                self._see(json.loads(text).get("html", ""), now)

    def _see(self, html: str, now: float) -> None:
        """Note the counts of runs; one that was left out is seen with the next."""
        for cell in html.split("<td id=")[1:]:
            if found := STEP.search(cell):
                run, count = map(int, found.groups())
                for each in range(self._shown[run] + 1, count + 1):
                    self.seen[run, each] = now
                self._shown[run] = max(self._shown[run], count)


def main() -> int:
    """Run the benchmark."""
    options = parser("pages that many browsers have open while runs go on")
    options.add_argument("--browsers", type=int, default=100)
    options.add_argument("--testbeds", type=int, default=20)
    options.add_argument("--rate", type=float, default=0.5, help="lines/s of a guest")
    options.add_argument("--seconds", type=float, default=60)
    options.add_argument("--polls", action="store_true", help="lists have no websocket")
    chosen = options.parse_args()
    flood = Flood(GUESTS, chosen.rate, chosen.seconds)
    poll_s = POLL_S if chosen.polls else POLL_LIVE_S
    with folder(keep=chosen.keep) as place:
        write_testbed(place / "testbed", GUESTS, 1)
        with simulated_stack(place, hosts=1) as stack:
            runs = prepare(stack, place / "testbed", chosen.testbeds, flood)
            table = measure(stack, runs, chosen.browsers, flood, poll_s)
    return conclude(table, strict=chosen.strict)


def steps_of(flood: Flood) -> int:
    """Return how many tasks of each run end, beside those of its guests' lines."""
    return max(1, int((flood.seconds - SLACK_S) / PACE_S))


def prepare(stack: Stack, testbed: Path, count: int, flood: Flood) -> list[int]:
    """Create the testbeds, each with a run that is on; return the runs' numbers."""
    stack.add_user("admin", is_admin=True)
    client = stack.client("admin")
    for number in range(count):
        client.create_testbed(f"lab-{number:02}", testbed)
    stack.stop("worker")  # the writers replace it
    tasks = replace(flood, resources=flood.resources + steps_of(flood))
    return open_runs(stack, [f"lab-{number:02}" for number in range(count)], tasks)


def measure(
    stack: Stack, runs: list[int], browsers: int, flood: Flood, poll_s: float
) -> Table:
    """Let all browsers look while the runs go on, and sum up what was late."""
    sessions = [stack.client("admin").pages for _ in range(min(browsers, 10))]
    before, began_at = usage(stack.processes["web"].pid), time.monotonic()
    pages = [
        Listener(
            sessions[number % len(sessions)],
            runs[number % len(runs)],
            "?render=html&batch=1&log=tail",
            is_whole=False,
        )
        for number in range(browsers // 2)
    ]
    lists = [
        Watcher(sessions[number % len(sessions)], number, poll_s)
        for number in range(browsers - len(pages))
    ]
    steps = {"first": flood.resources, "count": steps_of(flood), "pace_s": PACE_S}
    with (
        step_writer(stack, runs, **steps) as stepping,
        log_writers(stack, runs, flood, processes=1) as writing,
    ):
        ends = read_ends(stepping)
        for writer in writing:
            writer.wait()
    time.sleep(poll_s if poll_s == POLL_S else SLACK_S)  # the last may be under way
    after, took_s = usage(stack.processes["web"].pid), time.monotonic() - began_at
    for watcher in lists:
        watcher.close()
    close_run(stack, *runs)
    for page in pages:
        page.join()
    table = Table(f"{browsers} browsers, {len(runs)} running testbeds")
    lines = [late for one in pages for late in one.late_s]
    add_late(table, "run's page: event to screen", lines)
    table.add("  events shown", len(lines))
    table.add("  lines in disorder", sum(one.faults for one in pages), at_most=0)
    add_lists(table, lists, ends)
    cpu_percent = 100 * (after.cpu_s - before.cpu_s) / took_s
    table.add("CPU of the web, of one processor", cpu_percent, "%")
    table.add("peak memory of the web", after.peak_mib, "MiB")
    return table


def read_ends(stepping: "subprocess.Popen[bytes]") -> Moments:
    """Return when each task ended, as the process prints it to its end."""
    ends: Moments = {}
    for line in stepping.stdout or ():
        run, count, clock = line.split()
        ends[int(run), int(count)] = float(clock)
    return ends


def add_lists(table: Table, lists: list[Watcher], ends: Moments) -> None:
    """Add how late the lists were with each task's end, and what they took."""
    late = [
        one.seen[key] - at
        for one in lists
        for key, at in ends.items()
        if key in one.seen
    ]
    add_late(table, "list: event to screen", late)
    table.add("  events shown", len(late))
    missed = len(ends) * len(lists) - len(late)
    table.add("  events never shown", missed, at_most=0)
    if frames := sum(one.frames for one in lists):
        table.add("  frames to a list", frames / len(lists))
        size = sum(one.bytes for one in lists) / len(lists) / 1024
        table.add("  their size", size, "KiB")
    polls = [late for one in lists for late in one.late_s]
    add_late(table, "list: answer to a poll", polls)


def add_late(table: Table, what: str, late_s: list[float]) -> None:
    """Add the delays of what browsers waited for."""
    cuts = quantiles(late_s, n=100)
    table.add(f"{what}, p50", cuts[49], "s")
    table.add("  p99", cuts[98], "s", at_most=TARGET_P99_S)


if __name__ == "__main__":
    sys.exit(main())
