"""`script/bench cli`: processes of `testbed`, against Python alone and a bare request.

`testbed --help` and `check` of a large YAML stand beside `python -c pass` and PyYAML
alone, `status` beside a Python process that sends the same two requests with httpx to
the same server. Processes are started one after the other. A last one follows a run of
10,000 lines a second; its memory must not grow.
"""

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.measuring import Table, conclude, folder, parser
from benchmarks.orchestrator import write_testbed
from benchmarks.requests.following import MIB, follow
from tests.live.stack import CHECKOUT, Stack, simulated_stack

HELP_MS, CHECK_S, STATUS_MS = 150, 1, 300
LINES_PER_S, GROWTH_MIB = 10_000, 10
PROGRAM = ("-m", "testbed.client.terminal.program")
BARE = """
import httpx, os
headers = {"Authorization": f"Bearer {os.environ['TESTBED_TOKEN']}"}
path = os.environ["TESTBED_SERVER"] + "/api/v1/testbeds/admin/small"
with httpx.Client(headers=headers) as client:
    for address in (path, f"{path}/guests?page=1&per_page=200"):
        client.get(address).raise_for_status()
"""
YAML_ALONE = """
import yaml
yaml.load(open("kvm-compose.yaml", "rb"), yaml.CSafeLoader)
"""


def main() -> int:
    """Run the benchmark."""
    options = parser("processes of the command line")
    options.add_argument("--guests", type=int, default=1000)
    options.add_argument("--hosts", type=int, default=20)
    options.add_argument("--repeat", type=int, default=15)
    options.add_argument("--follow", type=float, default=30, help="seconds of lines")
    chosen = options.parse_args()
    with folder(keep=chosen.keep) as place:
        write_testbed(place / "large", chosen.guests, chosen.hosts)
        write_testbed(place / "small", 3, 2)
        with simulated_stack(place, hosts=2) as stack:
            stack.add_user("admin", is_admin=True)
            stack.client("admin").create_testbed("small", place / "small")
            table = measure(stack, place, chosen.guests, chosen.repeat)
            followed(table, place, chosen.follow)
    return conclude(table, strict=chosen.strict)


def measure(stack: Stack, place: Path, guests: int, repeat: int) -> Table:
    """Time each process, and say how it compares with its floor."""
    environment = os.environ | {
        "PYTHONPATH": str(CHECKOUT),
        "XDG_CONFIG_HOME": str(place / "home"),
        "TESTBED_SERVER": stack.url,
        "TESTBED_PROJECT": "admin/small",
        "TESTBED_TOKEN": stack.tokens["admin"],
    }

    def timed(at: Path, *words: str) -> float:
        return median(_seconds(words, at, environment) for _ in range(repeat))

    large, small = place / "large", place / "small"
    python = timed(small, "-c", "pass")
    help_ = timed(small, *PROGRAM, "--help")
    yaml = timed(large, "-c", YAML_ALONE)
    check = timed(large, *PROGRAM, "check")
    bare = timed(small, "-c", BARE)
    status = timed(small, *PROGRAM, "status")
    table = Table("processes of the command line")
    table.add("python -c pass", python * 1000, "ms")
    table.add("testbed --help", help_ * 1000, "ms", at_most=HELP_MS)
    table.add("  ratio", help_ / python)
    table.add(f"PyYAML alone, {guests} machines", yaml, "s")
    table.add(f"testbed check, {guests} machines", check, "s", at_most=CHECK_S)
    table.add("  ratio", check / yaml)
    table.add("two bare requests with httpx", bare * 1000, "ms")
    table.add("testbed status", status * 1000, "ms", at_most=STATUS_MS)
    table.add("  ratio", status / bare)
    return table


def followed(table: Table, place: Path, seconds: float) -> None:
    """Add the memory of a client that follows many lines."""
    environment = os.environ | {
        "PYTHONPATH": str(CHECKOUT),
        "XDG_CONFIG_HOME": str(place / "home"),
        "TESTBED_TOKEN": "tb_x",  # nosec B105
    }
    found = follow(PROGRAM, place, environment, per_s=LINES_PER_S, seconds=seconds)
    growth = (found.peak_bytes - found.early_bytes) / MIB
    table.add(f"attach, {LINES_PER_S:,} lines a second sent", found.lines_per_s)
    table.add("  memory at the end", found.peak_bytes / MIB, "MiB")
    table.add("  growth after its start", growth, "MiB", at_most=GROWTH_MIB)


def _seconds(words: tuple[str, ...], at: Path, environment: dict[str, str]) -> float:
    """Return how long a process of Python takes."""
    began = time.perf_counter()
    subprocess.run(
        [sys.executable, *words],
        cwd=at,
        env=environment,
        check=True,
        capture_output=True,
    )
    return time.perf_counter() - began


if __name__ == "__main__":
    sys.exit(main())
