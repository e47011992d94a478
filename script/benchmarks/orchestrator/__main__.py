"""`script/bench orchestrator`: a large `up` on simulated hosts, seen from a browser.

It measures the product without machines: plan, queue, engine, events, rows and
websocket. The client takes every frame as an open page would, checks that the numbers
of the events have no gap, and counts the ends of tasks. With `--large` it does the same
for four times as many guests: the cost of a guest must not grow with their number. What
the simulated hosts themselves cost is counted apart, and is not the product's.
"""

import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path

from benchmarks.measuring import Table, Usage, conclude, folder, parser, usage
from benchmarks.orchestrator import simulation_cost, write_testbed
from testbed.client.watching import Frame
from tests.live.stack import CHECKOUT, Stack, simulated_stack

TARGET_S = 60
TARGET_GUESTS = 1000
TARGET_CPU_MS = 30
TARGET_PROCESS_MIB = 150
TARGET_RATIO = 1.2
LARGE = 4
# The product's own interval; the tests' stack looks at its hosts five times as often.
PACE = {"TESTBED_OBSERVE_EVERY_S": "10", "TESTBED_SWEEP_EVERY_S": "5"}
SIMULATION = "simulation"
MODULES = (simulation_cost.__name__,)
PATHS = f"{CHECKOUT}:{CHECKOUT / 'script'}"
GOOD = ("done", "unchanged", "warning")
COUNT = (
    "from testbed.models import Run, Task; run = Run.objects.last(); "
    "tasks = Task.objects.filter(instruction__run=run).count(); "
    "print(tasks, run.events.count())"
)


@dataclass(slots=True)
class Observer:
    """A client's record: every event's number, how tasks ended, when stages did."""

    seqs: list[int] = field(default_factory=list)
    ends: Counter[str] = field(default_factory=Counter)
    results: list[tuple[int, float]] = field(default_factory=list)

    def see(self, frame: Frame) -> None:
        """Take one frame."""
        if "seq" in frame:
            self.seqs.append(frame["seq"])
        if frame["type"] == "event" and frame["kind"] == "task-finished":
            self.ends[frame["data"]["status"]] += 1
        if frame["type"] == "result":
            self.results.append((frame["index"], time.monotonic()))

    @property
    def good(self) -> int:
        """The number of tasks that ended well."""
        return sum(self.ends[status] for status in GOOD)

    def faults(self, stored: int) -> int:
        """Count the events that are missing, came twice, or came out of order."""
        missing = len(set(range(1, stored + 1)) - set(self.seqs))
        doubled = len(self.seqs) - len(set(self.seqs))
        backwards = sum(b < a for a, b in pairwise(self.seqs))
        return missing + doubled + backwards


def main() -> int:
    """Run the benchmark."""
    options = parser("1,000 guests on 20 simulated hosts")
    options.add_argument("--guests", type=int, default=1000)
    options.add_argument("--hosts", type=int, default=20)
    options.add_argument(
        "--large", action="store_true", help=f"and {LARGE} times as many of both"
    )
    options.add_argument("--stages", action="store_true", help="show each instruction")
    chosen = options.parse_args()
    table = Table("up on simulated hosts")
    costs_ms = []
    for factor in (1, LARGE) if chosen.large else (1,):
        guests, hosts = factor * chosen.guests, factor * chosen.hosts
        with folder(keep=chosen.keep) as place:
            testbed = place / "testbed"
            write_testbed(testbed, guests, hosts)
            (simulation := place / SIMULATION).mkdir()
            counted = {simulation_cost.FOLDER: str(simulation), "PYTHONPATH": PATHS}
            with simulated_stack(
                place, hosts=hosts, worker_modules=MODULES, **PACE, **counted
            ) as stack:
                measured = measure(stack, testbed, guests, has_stages=chosen.stages)
        table.rows += [(f"{guests} guests on {hosts} hosts", "", "", "")]
        table.rows += measured.table.rows
        costs_ms.append(measured.cpu_ms)
    if chosen.large:
        ratio = costs_ms[1] / costs_ms[0]
        table.add("CPU per guest, large to small", ratio, at_most=TARGET_RATIO)
    return conclude(table, strict=chosen.strict)


@dataclass(frozen=True, slots=True)
class Measured:
    """The figures of one size, and the cost of a guest."""

    table: Table
    cpu_ms: float


def measure(stack: Stack, testbed: Path, guests: int, *, has_stages: bool) -> Measured:
    """Bring the testbed up and sum up the figures."""
    stack.add_user("owner")
    client = stack.client("owner")
    started = time.monotonic()
    client.create_testbed("large", testbed)
    created_s = time.monotonic() - started
    before = used(stack)
    simulation = stack.folder / SIMULATION
    simulated_before_s = simulation_cost.simulated_s(simulation)
    observer = Observer()
    started = time.monotonic()
    run = client.start("large", "up")
    click_s = time.monotonic() - started
    status = client.drive(run, observer.see)
    up_s = time.monotonic() - started
    after = used(stack)
    simulated_s = simulation_cost.simulated_s(simulation) - simulated_before_s
    if has_stages:
        show_stages(run.instructions, observer, started + click_s)
    if status != "succeeded":
        print(f"the run ended {status}:", stack.log("worker")[-4000:], sep="\n")
    at_most_s = TARGET_S * guests / TARGET_GUESTS
    cpu_s = {name: after[name].cpu_s - before[name].cpu_s for name in after}
    tasks, stored = (int(word) for word in stack.shell(COUNT).split())
    table = Table(f"up of {guests} guests")
    table.add("create the testbed", created_s, "s")
    table.add("click to plan", click_s, "s")
    table.add("click to all guests set up", up_s, "s", at_most=at_most_s)
    worker_s = cpu_s["worker"] - simulated_s
    per_guest_ms = 1000 * (worker_s + cpu_s["web"]) / guests
    table.add("CPU per guest", per_guest_ms, "ms", at_most=TARGET_CPU_MS)
    table.add("  of the worker", 1000 * worker_s / guests, "ms")
    table.add("  of the web", 1000 * cpu_s["web"] / guests, "ms")
    table.add("  besides, of simulated hosts", 1000 * simulated_s / guests, "ms")
    table.add("tasks", tasks)
    table.add("  good ends that were not seen", tasks - observer.good, at_most=0)
    table.add("events", stored)
    table.add("  lost, doubled or out of order", observer.faults(stored), at_most=0)
    table.add("  per second", stored / up_s, "/s")
    table.add("peak memory of the web", after["web"].peak_mib, "MiB")
    worker = after["worker"]
    table.add(f"  of {worker.processes} worker processes", worker.peak_mib, "MiB")
    largest = worker.largest_mib
    table.add("  of the largest of these", largest, "MiB", at_most=TARGET_PROCESS_MIB)
    return Measured(table, per_guest_ms)


def used(stack: Stack) -> dict[str, Usage]:
    """Return the usage of the worker's and the web's processes."""
    return {name: usage(stack.processes[name].pid) for name in ("worker", "web")}


def show_stages(
    instructions: tuple[Frame, ...], observer: Observer, begun: float
) -> None:
    """Print how long each instruction took, from the result before it to its own."""
    for index, at in observer.results:
        print(f"{at - begun:7.2f} s  {instructions[index]['title']}")
        begun = at


if __name__ == "__main__":
    sys.exit(main())
