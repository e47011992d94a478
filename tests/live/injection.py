"""Strike a running command with a fault, and tell everything that went wrong.

    struck = strike(stack, client, SLUG, fault, stage=…, seed=…)
    struck.problems      what the product promised and did not keep, in words
    resumed(…)           `up` again goes on from there, `down` leaves nothing

The moment inside the stage is random, from the seed that is printed. A websocket
client follows the run all the time and connects again as often as it must.
"""

import random
import threading
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta

from testbed.client import Client, Frame
from tests.live.faults import LEASE_S, Fault
from tests.live.rows import rows, run_status, running_batches
from tests.live.stack import Stack
from tests.live.watch import (
    Guest,
    Ran,
    condition,
    followed,
    holdings,
    host_of,
    project,
    ran,
)

OVER_WITHIN_S = 240
RECOVERED_WITHIN_S = 120
# About how long each stage lasts here; the moment is drawn from this span.
SPANS_S = {"Set up guests": 6.0, "Start guests": 1.5, "Network": 1.5}
OTHER_SPAN_S = 0.6
GOOD = {"done", "unchanged", "warning"}
# What is looked at anew each time has no "unchanged".
IDEMPOTENT = {
    "ensure-networks",
    "ensure-bridges",
    "ensure-links",
    "create-disks",
    "start-guests",
}


@dataclass
class Struck:
    """A run that was struck: what was seen of it, and what it did not keep."""

    fault: str
    stage: str
    moment_s: float
    run: Ran
    recovered_s: float = 0.0
    problems: list[str] = field(default_factory=list)
    lost_events: int = 0
    leftovers: set[str] = field(default_factory=set)

    def __str__(self) -> str:
        end = self.run.frames[-1] if self.run.frames else {}
        return (
            f"{self.fault} {self.moment_s:.2f} s into {self.stage!r}: "
            f"{end.get('status')}, {end.get('message')} "
            f"Recovered in {self.recovered_s:.1f} s. " + "; ".join(self.problems)
        )


class _Follower:
    """Drives a run from a thread, and knows which stages it has reached."""

    def __init__(self, client: Client, run: Ran) -> None:
        self.run = run
        self.problem = ""
        self._stages: dict[str, threading.Event] = {}
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._drive, args=(client,))
        self._thread.start()

    def wait_for(self, stage: str) -> None:
        """Return when the stage began, or the run is over."""
        reached, deadline = self._reached(stage), time.monotonic() + OVER_WITHIN_S
        while self._thread.is_alive() and time.monotonic() < deadline:
            if reached.wait(0.05):
                return

    def join(self) -> None:
        """Return when the run is over."""
        self._thread.join(OVER_WITHIN_S)
        if self._thread.is_alive():
            self.problem = f"the run is not over after {OVER_WITHIN_S} s"

    def _drive(self, client: Client) -> None:
        try:
            client.drive(self.run.started, self._note)
        except Exception as exc:  # noqa: BLE001
            self.problem = f"the client gave up: {exc!r}"

    def _note(self, frame: Frame) -> None:
        self.run.frames.append(frame)
        if frame.get("kind") == "instruction-started":
            self._reached(frame["data"]["stage"]).set()

    def _reached(self, stage: str) -> threading.Event:
        with self._lock:
            return self._stages.setdefault(stage, threading.Event())


def strike(
    stack: Stack, client: Client, slug: str, fault: Fault, *, stage: str, seed: int
) -> Struck:
    """Start `up`, strike at a random moment of a stage, mend, wait, and look."""
    moment = random.Random(f"{seed} {fault.name} {stage}").uniform(  # noqa: S311
        0, SPANS_S.get(stage, OTHER_SPAN_S)
    )
    print(f"seed {seed}: {fault.name} {moment:.2f} s into {stage!r}")  # noqa: T201
    struck = Struck(fault.name, stage, moment, Ran(client.start(slug, "up")))
    follower = _Follower(client, struck.run)
    follower.wait_for(stage)
    time.sleep(moment)
    struck_at = datetime.now(UTC)
    fault.strike(stack)
    try:
        fault.mend(stack)
        struck.recovered_s = _recovered(stack, struck, struck_at)
    finally:
        follower.join()
    if follower.problem:
        struck.problems.append(follower.problem)
    else:
        _judge(stack, client, slug, fault, struck)
    return struck


def resumed(stack: Stack, client: Client, slug: str, struck: Struck) -> None:
    """Go on with `up`, and add what was not as it should be to the problems."""
    again = ran(client, slug, "up")
    if again.status != "succeeded":
        struck.problems.append(f"up does not go on: {again.words}")
        return
    repeated = _finished(struck.run) & {
        key for key, status in _ends(again).items() if status != "unchanged"
    }
    if repeated:
        struck.problems.append(f"done again: {sorted(repeated)}")
    struck.problems += _missing_guests(stack, slug)


def taken_down(
    stack: Stack,
    client: Client,
    slug: str,
    struck: Struck,
    before: dict[str, set[str]],
) -> None:
    """Take it down, and add what is left to the problems."""
    down = ran(client, slug, "down")
    if down.status != "succeeded":
        struck.problems.append(f"down does not work: {down.words}")
    after = holdings(stack)
    struck.leftovers |= {
        f"{thing} on {host}" for host in after for thing in after[host] - before[host]
    }
    if struck.leftovers:
        struck.problems.append(f"left over: {sorted(struck.leftovers)}")


def _recovered(stack: Stack, struck: Struck, struck_at: datetime) -> float:
    """Wait until each running batch has a worker; return how long that took.

    A lease that ends later than one taken at the strike was renewed after it.
    """
    renewed = struck_at + timedelta(seconds=LEASE_S)
    number = struck.run.started.number
    deadline = time.monotonic() + RECOVERED_WITHIN_S
    while time.monotonic() < deadline:
        orphans = [b for b in running_batches(stack) if b.lease_until <= renewed]
        if not orphans or run_status(stack, number) not in ("pending", "running"):
            break
        time.sleep(0.1)
    else:
        struck.problems.append(f"batches without a worker: {orphans}")
    return (datetime.now(UTC) - struck_at).total_seconds()


def _judge(
    stack: Stack, client: Client, slug: str, fault: Fault, struck: Struck
) -> None:
    run = struck.run
    if run.status not in fault.outcomes:
        struck.problems.append(f"the run {run.status}: {run.words}")
    if run.status == "succeeded":
        struck.problems += _missing_guests(stack, slug)
    elif condition(stack, slug) == "up":
        struck.problems.append("the testbed is said to be up")
    struck.problems += _lost_events(client, struck)
    struck.problems += _executed_twice(run)
    struck.problems += _batches_left(stack, run.started.number)
    struck.problems += _tagged(stack, slug, run.started.number)


def _lost_events(client: Client, struck: Struck) -> list[str]:
    """Compare what the client saw with what everybody can read later.

    Up to the run's end, whose own number has no frame: what a sweeper still ends is
    recorded after it.
    """
    seen = _events(struck.run)
    end = struck.run.frames[-1]["seq"]
    kept = _events(followed(client, struck.run.started))
    stored = {frame["seq"]: frame for frame in kept if frame["seq"] <= end}
    lost = [f["seq"] for f in seen if stored.get(f["seq"]) != f]
    unseen = sorted(stored.keys() - {frame["seq"] for frame in seen})
    gaps = sorted(set(range(1, end + 1)) - stored.keys())
    gaps = gaps if len(gaps) > 1 else []
    struck.lost_events = len(lost) + len(unseen) + len(gaps)
    problems = [f"events that were shown are lost: {lost}"] if lost else []
    problems += [f"events were not shown: {unseen}"] if unseen else []
    problems += [f"events are missing: {gaps}"] if gaps else []
    numbers = [frame["seq"] for frame in seen]
    return problems + (["out of order"] if numbers != sorted(set(numbers)) else [])


def _events(run: Ran) -> list[Frame]:
    """Return the frames that are rows; the last one only says how the run is now."""
    return [f for f in run.frames if "seq" in f and f["type"] != "run"]


def _executed_twice(run: Ran) -> list[str]:
    """A resource of an instruction starts and ends at most once in one run."""
    begun = Counter(
        (f["kind"], f["index"], f["resource"], f["host"])
        for f in run.frames
        if f.get("kind") in ("task-started", "task-finished")
    )
    twice = [key for key, count in begun.items() if count > 1]
    return [f"executed twice: {twice}"] if twice else []


def _batches_left(stack: Stack, number: int) -> list[str]:
    left = rows(
        stack,
        "SELECT b.id, b.host, b.status, b.worker FROM testbed_batch b"
        " JOIN testbed_instruction i ON i.id = b.instruction_id"
        " WHERE i.run_id = ? AND b.status IN ('queued', 'running')",
        number,
    )
    return [f"batches of an ended run: {left}"] if left else []


def _tagged(stack: Stack, slug: str, number: int) -> list[str]:
    """Return what the run started and what still runs, on hosts and in guests."""
    look = (
        "for file in /proc/[0-9]*/environ; do tr '\\0' '\\n' < $file |"
        f" grep -q '^TESTBED_TAG={slug}.r{number}[.]' && echo $file;"
        " done 2> /dev/null; true"
    )
    found = {
        name: host_of(stack, name).run("sh", "-c", look).split()
        for name in ("main", "host-b")
    }
    for name in _answering_guests(stack, slug):
        found[name] = Guest(stack, slug, name).run(look).split()
    return [f"still runs on {name}: {left}" for name, left in found.items() if left]


def _answering_guests(stack: Stack, slug: str) -> list[str]:
    """Return the guests that can be entered: those whose boot was waited for."""
    ready = rows(
        stack,
        "SELECT DISTINCT t.resource FROM testbed_task t"
        " JOIN testbed_instruction i ON i.id = t.instruction_id"
        " JOIN testbed_run r ON r.id = i.run_id"
        " JOIN testbed_testbed b ON b.id = r.testbed_id"
        " WHERE b.slug = ? AND i.kind = 'set-up-guests' AND t.status = 'done'"
        " AND r.id = (SELECT MAX(id) FROM testbed_run WHERE testbed_id = b.id)",
        slug,
    )
    return [str(name) for (name,) in ready]


def _missing_guests(stack: Stack, slug: str) -> list[str]:
    """Return the guests that are said to be up and do not run."""
    missing = []
    for guest in project(stack, slug).read_state().guests:
        running = host_of(stack, guest.host).run("virsh", "list", "--name").split()
        if guest.domain not in running:
            missing.append(f"{guest.name} does not run on {guest.host}")
    return missing


def _ends(run: Ran) -> dict[tuple[str, str, str], str]:
    """Return how each resource's task ended, by instruction, resource and host."""
    kinds = {i["index"]: i["kind"] for i in run.started.instructions}
    return {
        (kinds[f["index"]], f["resource"], f["host"]): f["data"]["status"]
        for f in run.frames
        if f.get("kind") == "task-finished" and kinds[f["index"]] in IDEMPOTENT
    }


def _finished(run: Ran) -> set[tuple[str, str, str]]:
    """Return what a run had finished before it was struck down."""
    return {key for key, status in _ends(run).items() if status in GOOD}
