"""`script/bench guards`: commands and files on guests, with our guards and without.

The guards are the hosts' firewall (the table `inet testbed`) and the memory limits of
the service units. One testbed on two hosts is brought up once. Then the same batches run
with and without both, by turns, so that a change of the machine's load meets both sides.
"""

import contextlib
import re
import sys
import time
from collections.abc import Iterable, Iterator
from functools import partial
from pathlib import Path
from statistics import median

from benchmarks.measuring import Table, conclude, folder, parser
from benchmarks.scaled import run_or_fail
from benchmarks.up import write_testbed
from orchestration.providers.linux.ruleset import TABLE
from testbed.client.watching import Frame
from tests.live.client import Client
from tests.live.stack import CHECKOUT, NamespaceHost, Stack, real_stack
from tests.waiting import wait_until

TARGET = 1.03
SLUG = "guards"
CGROUPS = Path("/sys/fs/cgroup")
UNITS = {"worker": "testbed-worker", "web": "testbed-web"}
FILE = "/var/tmp/large"  # nosec B108  # noqa: S108 - in the guests


def main() -> int:
    """Run the benchmark."""
    options = parser("commands and files with firewall and limits, and without")
    options.add_argument("--guests", type=int, default=4)
    options.add_argument("--repeat", type=int, default=20)
    options.add_argument("--mib", type=int, default=2, help="size of a fetched file")
    chosen = options.parse_args()
    batches: dict[str, Frame] = {
        "command": {"form": "command", "words": ["true"]},
        "fetch": {"form": "fetch", "path": FILE},
    }
    with folder(keep=chosen.keep) as place, real_stack(place, label="tbg") as stack:
        stack.add_user("owner")
        client = stack.client("owner")
        write_testbed(place / "files", chosen.guests, 2)
        client.create_testbed(SLUG, place / "files")
        run_or_fail(client, SLUG, "up")
        fill = f"head -c {chosen.mib * 1024**2} /dev/urandom > {FILE}"
        execute_s(client, {"form": "shell", "words": [fill]})
        table = Table(f"{chosen.guests} guests on 2 hosts, {chosen.repeat} turns each")
        for title, wanted in batches.items():
            turns = list(take_turns(stack, client, wanted, chosen.repeat))
            guarded, bare = (median(side) for side in zip(*turns, strict=True))
            table.add(f"{title}, with firewall and limits", guarded, "s")
            table.add(f"{title}, without", bare, "s")
            ratio = median(one / other for one, other in turns)
            table.add("  median ratio of the turns", ratio, at_most=TARGET)
        run_or_fail(client, SLUG, "down")
    return conclude(table, strict=chosen.strict)


def take_turns(
    stack: Stack, client: Client, wanted: Frame, repeat: int
) -> Iterator[tuple[float, float]]:
    """Yield the seconds with the guards and without, first the one, then the other."""
    execute_s(client, wanted)  # opens the connections
    for turn in range(repeat):
        if turn % 2:
            bare = unguarded_s(stack, client, wanted)
            yield guarded_s(stack, client, wanted), bare
        else:
            yield (
                guarded_s(stack, client, wanted),
                unguarded_s(stack, client, wanted),
            )


def guarded_s(stack: Stack, client: Client, wanted: Frame) -> float:
    """Return the seconds of a batch with the firewall and the limits."""
    with limits(stack):
        return execute_s(client, wanted)


def unguarded_s(stack: Stack, client: Client, wanted: Frame) -> float:
    """Return the seconds of a batch without them."""
    with contextlib.ExitStack() as removed:
        for host in (stack.main, stack.other):
            removed.enter_context(without_firewall(host))
        return execute_s(client, wanted)


def execute_s(client: Client, wanted: Frame) -> float:
    """Return the seconds from the request to the end of the run of a batch."""
    problems: list[Frame] = []
    started = time.monotonic()
    run = client.ask(SLUG, "exec", **{"selection": "@all", **wanted})
    status = client.drive(run, problems.append)
    seconds = time.monotonic() - started
    if status != "succeeded":
        raise RuntimeError(f"a batch ended {status}: {problems[-1]}")
    return seconds


@contextlib.contextmanager
def without_firewall(host: NamespaceHost) -> Iterator[None]:
    """Take the testbeds' table away from a host, and put it back."""
    text = host.run("nft", "list", "table", *TABLE.split())
    kept = host.folder / "firewall.nft"
    kept.write_text(text)
    host.run("nft", "delete", "table", *TABLE.split())
    try:
        yield
    finally:
        host.run("nft", "-f", str(kept))


@contextlib.contextmanager
def limits(stack: Stack) -> Iterator[None]:
    """Put worker and web below the memory limits of their units."""
    is_old = (CGROUPS / "memory").is_dir()
    above = CGROUPS / "memory" if is_old else CGROUPS
    made = []
    try:
        for name, unit in UNITS.items():
            group = above / f"{stack.label}-{name}"
            group.mkdir()
            made.append(group)
            file = "memory.limit_in_bytes" if is_old else "memory.max"
            (group / file).write_text(limit_of(unit))
            move(session_of(stack.processes[name].pid), group)
        yield
    finally:
        for group in made:
            wait_until(partial(is_dissolved, group, above))


def is_dissolved(group: Path, above: Path) -> bool:
    """Remove a group; False while a process began in it or has not quite ended."""
    move(map(int, (group / "cgroup.procs").read_text().split()), above)
    try:
        group.rmdir()
    except OSError:
        return False
    return True


def limit_of(unit: str) -> str:
    """Return the bytes that a service unit limits its memory to."""
    text = (CHECKOUT / f"deploy/{unit}.service").read_text()
    (gib,) = re.findall(r"^MemoryMax=(\d+)G$", text, re.MULTILINE)
    return str(int(gib) * 1024**3)


def move(pids: Iterable[int], group: Path) -> None:
    """Move processes to a group; those that ended meanwhile are none."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            (group / "cgroup.procs").write_text(str(pid))


def session_of(leader: int) -> Iterator[int]:
    """Yield the living processes of a session."""
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            if int(fields[3]) == leader:
                yield int(entry.name)


if __name__ == "__main__":
    sys.exit(main())
