"""`script/bench dashboard`: 100 browsers on 20 testbeds whose runs go on.

Half of the browsers have the page of a run open, half the list of testbeds. A browser
is what its page's script does: a websocket of HTML frames, or a poll of the table every
four seconds. Nothing is painted, so that a browser costs the machine little. Runs are as
in `script/bench logs`: real recorders write lines that carry the machine's clock. What
the list shows is as old as the pause between two polls, beside the answer's time.
"""

import sys
import threading
import time
from pathlib import Path
from statistics import quantiles

from benchmarks.logs import Listener
from benchmarks.measuring import Table, conclude, folder, parser, usage
from benchmarks.orchestrator import write_testbed
from testbed.client.api import Client
from tests.live.flood import Flood, close_run, log_writers, open_run
from tests.live.stack import Stack, simulated_stack

TARGET_P99_S = 1.0
POLL_S = 4.0
GUESTS = 4
TABLE = {"HX-Request": "true", "HX-Target": "testbeds"}


class Poller:
    """A browser on the list: asks for the table, and waits; notes how long it took."""

    def __init__(self, client: Client, number: int, ends_at: float) -> None:
        self._client, self._ends_at = client, ends_at
        self.late_s: list[float] = []
        self._thread = threading.Thread(target=self._poll, args=(number,))
        self._thread.start()

    def join(self) -> None:
        """Wait for the end."""
        self._thread.join()

    def _poll(self, number: int) -> None:
        time.sleep(POLL_S * (number % 50) / 50)  # people do not come all at once
        while time.monotonic() < self._ends_at:
            began_at = time.monotonic()
            self._client.page("/", headers=TABLE)
            self.late_s.append(time.monotonic() - began_at)
            time.sleep(POLL_S)


def main() -> int:
    """Run the benchmark."""
    options = parser("pages that many browsers have open while runs go on")
    options.add_argument("--browsers", type=int, default=100)
    options.add_argument("--testbeds", type=int, default=20)
    options.add_argument("--rate", type=float, default=0.5, help="lines/s of a guest")
    options.add_argument("--seconds", type=float, default=60)
    chosen = options.parse_args()
    flood = Flood(GUESTS, chosen.rate, chosen.seconds)
    with folder(keep=chosen.keep) as place:
        write_testbed(place / "testbed", GUESTS, 1)
        with simulated_stack(place, hosts=1) as stack:
            runs = open_runs(stack, place / "testbed", chosen.testbeds, flood)
            table = measure(stack, runs, chosen.browsers, flood)
    return conclude(table, strict=chosen.strict)


def open_runs(stack: Stack, testbed: Path, count: int, flood: Flood) -> list[int]:
    """Create the testbeds, each with a run that is on; return the runs' numbers."""
    stack.add_user("admin", is_admin=True)
    client = stack.client("admin")
    for number in range(count):
        client.create_testbed(f"lab-{number:02}", testbed)
    stack.stop("worker")  # the writers replace it
    return [open_run(stack, f"lab-{number:02}", flood) for number in range(count)]


def measure(stack: Stack, runs: list[int], browsers: int, flood: Flood) -> Table:
    """Let all browsers look while the runs go on, and sum up what was late."""
    clients = [stack.client("admin") for _ in range(min(browsers, 10))]
    before, began_at = usage(stack.processes["web"].pid), time.monotonic()
    watchers = [
        Listener(
            clients[number % len(clients)],
            runs[number % len(runs)],
            "?render=html&batch=1&log=tail",
            is_whole=False,
        )
        for number in range(browsers // 2)
    ]
    ends_at = time.monotonic() + flood.seconds
    pollers = [
        Poller(clients[number % len(clients)], number, ends_at)
        for number in range(browsers - len(watchers))
    ]
    with log_writers(stack, runs, flood, processes=1) as writing:
        for writer in writing:
            writer.wait()
    for run in runs:
        close_run(stack, run)
    for one in (*watchers, *pollers):
        one.join()
    after, took_s = usage(stack.processes["web"].pid), time.monotonic() - began_at
    table = Table(f"{browsers} browsers, {len(runs)} running testbeds")
    lines = [late for one in watchers for late in one.late_s]
    polls = [late for one in pollers for late in one.late_s]
    add_late(table, "run's page: event to screen", lines)
    add_late(table, "list: answer to a poll", polls)
    oldest = POLL_S + quantiles(polls, n=100)[98]
    table.add("list: event to screen, at most", oldest, "s", at_most=TARGET_P99_S)
    table.add("  events shown", len(lines))
    table.add("  lines in disorder", sum(one.faults for one in watchers), at_most=0)
    cpu_percent = 100 * (after.cpu_s - before.cpu_s) / took_s
    table.add("CPU of the web, of one processor", cpu_percent, "%")
    table.add("peak memory of the web", after.peak_mib, "MiB")
    return table


def add_late(table: Table, what: str, late_s: list[float]) -> None:
    """Add the delays of what browsers waited for."""
    cuts = quantiles(late_s, n=100)
    table.add(f"{what}, p50", cuts[49], "s")
    table.add("  p99", cuts[98], "s", at_most=TARGET_P99_S)


if __name__ == "__main__":
    sys.exit(main())
