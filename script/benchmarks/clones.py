"""`script/bench clones`: disks of clones on one host, against bare `qemu-img create`.

The product runs the whole instructions as a worker does: a task per clone with its
events and markers. The floor is qemu-img alone, four at a time, in the same run.
"""

import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.measuring import Table, conclude, folder, parser
from orchestration.engine import Engine, Work
from orchestration.events import Status
from orchestration.hosts import Hosts
from orchestration.plan.lifecycle import plan
from orchestration.plan.model import Command, Kind, Options
from orchestration.project.folder import Project
from orchestration.state.build import Identity, Inputs, build_state
from orchestration.state.model import HostState, State
from orchestration.transport.base import Scope
from tests.orchestration.state.samples import CATALOGUE, scaled, spec_of

COUNTS = (1, 10, 100, 1000)
TARGET_RATIO = 1.2
TARGET_KIB = 200
# A host makes the disks; then each clone records its own.
KINDS = (Kind.CREATE_CLONE_DISKS, Kind.CREATE_CLONES)


def main() -> int:
    """Run the benchmark."""
    options = parser("linked clones' disks, made as a run makes them")
    options.add_argument("--repeat", type=int, default=3)
    chosen = options.parse_args()
    table = Table("clones")
    for count in COUNTS:
        ours, floor, kib = [], [], 0.0
        for _ in range(chosen.repeat):
            with folder(keep=chosen.keep) as place:
                floor.append(timed_floor(place, count))
            with folder(keep=chosen.keep) as place:
                seconds, kib = timed_clones(place, count)
                ours.append(seconds)
        # A single clone costs the start of a thread and of three processes.
        target = TARGET_RATIO if count >= COUNTS[2] else None
        table.add(f"{count} clones", median(ours), "s")
        table.add("  qemu-img, 4 at once", median(floor), "s")
        table.add("  ratio", median(ours) / median(floor), at_most=target)
        table.add("  on disk, each", kib, "KiB", at_most=TARGET_KIB)
    return conclude(table, strict=chosen.strict)


def timed_clones(place: Path, count: int) -> tuple[float, float]:
    """Return the seconds that the instructions took, and KiB on disk per clone."""
    project = Project(place / "testbed")
    project.create()
    state = built(place, count)
    project.write_state(state)
    create(Path(state.goldens[0].image.path), "10G")
    hosts = Hosts(place / "runtime")
    instructions = plan(Command.UP, state).instructions
    wanted = [i for i in instructions if i.kind in KINDS]
    started = time.perf_counter()
    for instruction in wanted:
        work = Work(instruction, "main", state, project, Options())
        results = Engine(hosts).run(work, scope=Scope("bench"), sink=lambda event: None)
    seconds = time.perf_counter() - started
    hosts.close()
    if {result.status for result in results} != {Status.DONE}:
        raise SystemExit(f"clones failed: {results[0]}")
    disks = [Path(guest.disk).stat().st_blocks / 2 for guest in state.guests]
    return seconds, max(disks)


def timed_floor(place: Path, count: int) -> float:
    """Return the seconds that qemu-img takes for as many overlays."""
    base = place / "base.qcow2"
    create(base, "10G")
    names = "\n".join(str(place / f"{number}.qcow2") for number in range(count))
    words = ["xargs", "-P", "4", "-I", "{}", "qemu-img", "create", "-q", "-f", "qcow2"]
    started = time.perf_counter()
    subprocess.run(
        [*words, "-F", "qcow2", "-b", base, "{}"], input=names.encode(), check=True
    )
    return time.perf_counter() - started


def create(path: Path, size: str) -> None:
    """Make an empty image."""
    path.parent.mkdir(parents=True, exist_ok=True)
    words = ["qemu-img", "create", "-q", "-f", "qcow2", path, size]
    subprocess.run(words, check=True)


def built(place: Path, count: int) -> State:
    """Return the state of so many clones on one host."""
    directory = str(place / "testbed")
    return build_state(
        spec_of(scaled("node", *[["br0"]] * count, shared_setup="shared.sh")),
        Inputs(),
        identity=Identity("clones", 1, directory, "", "/k", "ssh-ed25519 A"),
        hosts=[HostState(name="main", is_main=True, images_dir=str(place / "images"))],
        catalogue=CATALOGUE,
    )


if __name__ == "__main__":
    sys.exit(main())
