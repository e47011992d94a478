"""Strike a running command with a fault, and tell everything that went wrong.

    struck = strike(stack, client, SLUG, fault, stage=…, seed=…)
    struck.problems      what the product promised and did not keep, in words
    resumed(…)           `up` again goes on from there, `down` leaves nothing

The moment inside the stage is random, from the seed that is printed. A client follows
the run and connects again as often as it must. invariants.py is what is looked at.
"""

import random
import threading
import time
from datetime import UTC, datetime, timedelta

from testbed.client.watching import Frame
from tests.live.client import Client
from tests.live.faults import LEASE_S, Fault
from tests.live.invariants import Struck, ends_of, finished_in, judge, missing_guests
from tests.live.rows import run_status, running_batches
from tests.live.stack import Stack
from tests.live.watch import Ran, holdings, ran

OVER_WITHIN_S = 240
RECOVERED_WITHIN_S = 120
# About how long each stage lasts here; the moment is drawn from this span.
SPANS_S = {"Set up guests": 6.0, "Start guests": 1.5, "Network": 1.5}
OTHER_SPAN_S = 0.6


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
        judge(stack, client, slug, fault, struck)
    return struck


def resumed(stack: Stack, client: Client, slug: str, struck: Struck) -> None:
    """Go on with `up`, and add what was not as it should be to the problems."""
    again = ran(client, slug, "up")
    if again.status != "succeeded":
        struck.problems.append(f"up does not go on: {again.words}")
        return
    repeated = finished_in(struck.run) & {
        key for key, status in ends_of(again).items() if status != "unchanged"
    }
    if repeated:
        struck.problems.append(f"done again: {sorted(repeated)}")
    struck.problems += missing_guests(stack, slug)


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
