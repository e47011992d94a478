"""Snapshots of 1 and 8 guests on two hosts, against `virsh` for all of them at once.

Ours and virsh take turns in the same run, each with snapshots of its own, which are
deleted again. The targets compare the tasks of our run, a restore until the guests are
back: clocks are set over SSH after that, which virsh leaves to its user. The time from
the click to the end of the run has that, and the web's and the queue's share. virsh
runs on the guests' own hosts, a process for each guest, and takes no common moment.

Both hosts of this stack share the machine's processors, and each memory takes one while
it is stored. So the standstill is measured twice: of as many guests as processors, and
of eight, of which the last waits where processors are fewer.
"""

import os
import re
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

from benchmarks.measuring import Table, conclude, folder, parser
from testbed.client.watching import Frame
from tests.live.client import Client
from tests.live.stack import Stack, real_stack
from tests.live.watch import Ran, host_of, project

SLUG, FEW, GUESTS = "kept", "few", 8
WITHIN = 1.3
VERBS = ("create", "restore", "delete")
_STOOD = re.compile(r"stood still for at most ([0-9.]+) s")
BACK = re.compile(r" is back$|^all are back: ")
_GUEST = """\
  - name: {name}
    interfaces: [{{bridge: br{side}}}]
    libvirt: {{cpus: 1, memory_mb: 128, libvirt_type: {{cloud_image: {{name: test_guest}}}}}}
"""
_NETWORK = """\
network:
  bridges: [{name: br0}, {name: br1}]
  bridge_connections: {br0: br1}
  external_bridge: br0
"""


@dataclass
class Times:
    """Seconds of one verb on so many guests: our task's, our click's, virsh's."""

    task: list[float] = field(default_factory=list)
    click: list[float] = field(default_factory=list)
    virsh: list[float] = field(default_factory=list)


def main() -> int:
    """Run the benchmark."""
    options = parser("snapshots, against parallel virsh")
    options.add_argument("--repeat", type=int, default=5, help="turns of each")
    chosen = options.parse_args()
    with folder(keep=chosen.keep) as place, real_stack(place, label="tbs") as stack:
        stack.add_user("owner")
        client = stack.client("owner")
        few = min(max(os.cpu_count() or 2, 2), GUESTS)
        all_of = {SLUG: named(GUESTS), FEW: named(few)}
        for slug, names in all_of.items():
            client.create_testbed(slug, written(place / slug, names))
            if (status := client.run(slug, "up", ignore)) != "succeeded":
                raise RuntimeError(f"up ended {status}: {stack.log('worker')[-2000:]}")
        table = Table(f"snapshots, load {os.getloadavg()[0]:.1f}")
        for names in (["g0"], all_of[SLUG]):
            compare(table, stack, client, names, chosen.repeat)
        for slug in (FEW, SLUG):
            compare_standstill(table, stack, client, slug, all_of[slug], chosen.repeat)
    return conclude(table, strict=chosen.strict)


def named(count: int) -> list[str]:
    """Return the names of so many guests."""
    return [f"g{number}" for number in range(count)]


def ignore(frame: Frame) -> None:
    """Take a frame of a run."""


def written(place: Path, names: Sequence[str]) -> Path:
    """Write a testbed of these guests, half of them on each host."""
    place.mkdir()
    guests = (
        _GUEST.format(name=name, side=number * 2 // len(names))
        for number, name in enumerate(names)
    )
    text = f"machines:\n{''.join(guests)}{_NETWORK}"
    (place / "kvm-compose.yaml").write_text(text)
    return place


def compare(
    table: Table, stack: Stack, client: Client, names: Sequence[str], repeat: int
) -> None:
    """Add the rows of each verb on these guests."""
    times = {verb: Times() for verb in VERBS}
    titles = {"restore": "restore, until back"}
    for turn in range(repeat):
        for verb in VERBS:
            found = times[verb]
            run, seconds = ours(client, SLUG, verb, names, f"ours{turn}")
            found.click.append(seconds)
            found.task.append(acted(run))
            found.virsh.append(with_virsh(stack, verb, names, f"virsh{turn}"))
    count = f"{len(names)} guest{'s' if len(names) > 1 else ''}"
    for verb, found in times.items():
        virsh = median(found.virsh)
        limit = WITHIN * virsh
        table.add(
            f"{titles.get(verb, verb)}, {count}", median(found.task), "s", at_most=limit
        )
        table.add("  from the click to the end of the run", median(found.click), "s")
        table.add("  virsh", virsh, "s")


def compare_standstill(
    table: Table,
    stack: Stack,
    client: Client,
    slug: str,
    names: Sequence[str],
    repeat: int,
) -> None:
    """Add the longest standstill of a group, against single ones and virsh's."""

    def stood(chosen: Sequence[str], snapshot: str) -> float:
        run, _ = ours(client, slug, "create", chosen, snapshot)
        ours(client, slug, "delete", chosen, snapshot)
        return longest(run)

    singles = [stood([name], "one") for name in names]
    group = median(stood(names, f"all{turn}") for turn in range(repeat))
    virsh = median(
        paused_with_virsh(stack, slug, names, f"virsh{turn}") for turn in range(repeat)
    )
    cpus = os.cpu_count()
    table.add(
        f"longest standstill, {len(names)} guests on {cpus} processors",
        group,
        "s",
        at_most=WITHIN * max(singles),
    )
    table.add("  slowest single one", max(singles), "s")
    table.add("  virsh, all at once", virsh, "s")
    table.add("  ratio to virsh", group / virsh, at_most=WITHIN)


def ours(
    client: Client, slug: str, verb: str, names: Sequence[str], snapshot: str
) -> tuple[Ran, float]:
    """Let the product act on one guest, or on all; return the run and its seconds."""
    guest = names[0] if len(names) == 1 else "@all"
    began = time.monotonic()
    run = Ran(client.ask(slug, "snapshots", verb=verb, guest=guest, name=snapshot))

    def take(frame: Frame) -> None:
        run.frames.append(frame | {"came_at": time.monotonic()})

    if (status := client.drive(run.started, take)) != "succeeded":
        raise RuntimeError(f"{verb} ended {status}: {run.words}")
    return run, time.monotonic() - began


def acted(run: Ran) -> float:
    """Return the seconds of a run's tasks, of a restore until the guests are back."""
    kinds = [frame.get("kind") for frame in run.frames]
    first = run.frames[kinds.index("task-started")]["came_at"]
    back = [f["came_at"] for f in run.frames if BACK.search(f.get("text") or "")]
    tasks = [f for f in run.frames if f.get("kind") == "task-finished"]
    if back:
        return float(back[0] - first)
    return max(float(frame["data"]["seconds"]) for frame in tasks)


def longest(run: Ran) -> float:
    """Return the longest standstill that a run tells."""
    told = "\n".join(
        f"{f['data']['message']}\n{f['data']['detail']}"
        for f in run.frames
        if f.get("kind") == "task-finished"
    )
    return max(map(float, _STOOD.findall(told)))


def with_virsh(stack: Stack, verb: str, names: Sequence[str], snapshot: str) -> float:
    """Let virsh act on all at once; return the seconds."""
    command = {
        "create": "snapshot-create-as",
        "restore": "snapshot-revert",
        "delete": "snapshot-delete",
    }[verb]
    return timed(lambda: on_all(stack, SLUG, names, command, snapshot))


def paused_with_virsh(
    stack: Stack, slug: str, names: Sequence[str], snapshot: str
) -> float:
    """Let virsh take a snapshot of all at one moment; return how long all stand still.

    That is the least: all are paused before the first is taken, as in a group snapshot.
    """
    on_all(stack, slug, names, "suspend")
    seconds = timed(lambda: on_all(stack, slug, names, "snapshot-create-as", snapshot))
    on_all(stack, slug, names, "resume")
    on_all(stack, slug, names, "snapshot-delete", snapshot)
    return seconds


def on_all(
    stack: Stack, slug: str, names: Sequence[str], command: str, *words: str
) -> None:
    """Let virsh act on all of these guests at once."""
    state = project(stack, slug).read_state()

    def act(name: str) -> None:
        guest = state.guest(name)
        host_of(stack, guest.host).run("virsh", command, guest.domain, *words)

    with ThreadPoolExecutor(len(names)) as pool:
        list(pool.map(act, names))


def timed(act: Callable[[], None]) -> float:
    """Return the seconds of an act."""
    began = time.monotonic()
    act()
    return time.monotonic() - began


if __name__ == "__main__":
    raise SystemExit(main())
