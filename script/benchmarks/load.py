"""`script/bench load`: a large YAML is loaded, checked, placed, addressed and planned.

Everything before a run touches a machine, with real files and in one process. The
floor is PyYAML reading the same text in the same run.
"""

import sys
import time
from pathlib import Path
from statistics import median

import yaml

from benchmarks.measuring import Table, conclude, folder, parser
from benchmarks.orchestrator import write_testbed
from orchestration.compose.check import check
from orchestration.compose.files import FolderFiles
from orchestration.plan.lifecycle import plan_up
from orchestration.plan.model import Options
from orchestration.state.build import Identity, Inputs, build_state
from orchestration.state.model import HostState
from tests.orchestration.state.samples import CATALOGUE

TARGET_S = 2


def main() -> int:
    """Run the benchmark."""
    options = parser("a YAML of 1,000 machines, up to its plan")
    options.add_argument("--guests", type=int, default=1000)
    options.add_argument("--hosts", type=int, default=20)
    options.add_argument("--repeat", type=int, default=5)
    chosen = options.parse_args()
    with folder(keep=chosen.keep) as place:
        testbed = place / "testbed"
        write_testbed(testbed, chosen.guests, chosen.hosts)
        ours = [timed_plan(testbed, chosen.hosts) for _ in range(chosen.repeat)]
        floor = [timed_floor(testbed) for _ in range(chosen.repeat)]
    table = Table(f"{chosen.guests} machines on {chosen.hosts} hosts")
    table.add("loaded, checked, placed, planned", median(ours), "s", at_most=TARGET_S)
    table.add("  PyYAML alone", median(floor), "s")
    table.add("  ratio", median(ours) / median(floor))
    return conclude(table, strict=chosen.strict)


def timed_plan(testbed: Path, hosts: int) -> float:
    """Return the seconds from the text to the plan's JSON."""
    started = time.perf_counter()
    text = (testbed / "kvm-compose.yaml").read_bytes()
    files = FolderFiles(testbed)
    spec = check(text, files=files, catalogue=CATALOGUE, testbed_name="large").require()
    state = build_state(
        spec,
        Inputs(),
        identity=Identity("large", 1, "/srv/large", "", "/srv/key", "ssh-ed25519 A"),
        hosts=[host(number) for number in range(hosts)],
        catalogue=CATALOGUE,
    )
    plan_up(state, Options()).to_json()
    return time.perf_counter() - started


def timed_floor(testbed: Path) -> float:
    """Return the seconds that reading the YAML takes at least."""
    started = time.perf_counter()
    yaml.load((testbed / "kvm-compose.yaml").read_bytes(), yaml.CSafeLoader)
    return time.perf_counter() - started


def host(number: int) -> HostState:
    """Return one of the hosts; the first is main."""
    address = f"192.0.2.{number + 1}"
    return HostState(
        name=f"host-{number:02}",
        is_main=number == 0,
        address=address,
        tunnel_address=address,
        projects_dir="/srv/projects",
        images_dir="/srv/images",
    )


if __name__ == "__main__":
    sys.exit(main())
