"""The invariants of a run that was struck by a fault, and which of them broke.

Events, tasks, batches, processes and guests are looked at in the rows, on the hosts and
in the guests. `injection` strikes and asks; every broken invariant is told in words.
"""

from collections import Counter
from dataclasses import dataclass, field

from testbed.client.watching import Frame
from tests.live.client import Client
from tests.live.faults import Fault
from tests.live.rows import rows
from tests.live.stack import Stack
from tests.live.watch import Guest, Ran, condition, followed, host_of, key_of, project

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
    """A run that was struck: its frames, and the invariants that broke."""

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


def judge(
    stack: Stack, client: Client, slug: str, fault: Fault, struck: Struck
) -> None:
    """Check every invariant, and add those that broke to the problems."""
    run = struck.run
    if run.status not in fault.outcomes:
        struck.problems.append(f"the run {run.status}: {run.words}")
    if run.status == "succeeded":
        struck.problems += missing_guests(stack, slug)
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
        f" grep -q '^TESTBED_TAG={key_of(stack, slug)}.r{number}[.]' && echo $file;"
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
        " WHERE b.name = ? AND i.kind = 'set-up-guests' AND t.status = 'done'"
        " AND r.id = (SELECT MAX(id) FROM testbed_run WHERE testbed_id = b.id)",
        slug,
    )
    return [str(name) for (name,) in ready]


def missing_guests(stack: Stack, slug: str) -> list[str]:
    """Return the guests that are said to be up and do not run."""
    missing = []
    for guest in project(stack, slug).read_state().guests:
        running = host_of(stack, guest.host).run("virsh", "list", "--name").split()
        if guest.domain not in running:
            missing.append(f"{guest.name} does not run on {guest.host}")
    return missing


def ends_of(run: Ran) -> dict[tuple[str, str, str], str]:
    """Return how each resource's task ended, by instruction, resource and host."""
    kinds = {i["index"]: i["kind"] for i in run.started.instructions}
    return {
        (kinds[f["index"]], f["resource"], f["host"]): f["data"]["status"]
        for f in run.frames
        if f.get("kind") == "task-finished" and kinds[f["index"]] in IDEMPOTENT
    }


def finished_in(run: Ran) -> set[tuple[str, str, str]]:
    """Return what a run had finished before it was struck down."""
    return {key for key, status in ends_of(run).items() if status in GOOD}
