"""`script/bench web`: a user's page, while others send 64 MiB to the same server.

A real Daphne over loopback, hosts that only rehearse. The floor is the same page with
nothing beside it, in the same run. The senders are processes of their own: anonymous
ones post forms that are refused, a signed-in user uploads files that are kept.
"""

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import quantiles

from benchmarks.measuring import Table, conclude, folder, parser, usage
from benchmarks.orchestrator import write_testbed
from tests.live.pages import Pages
from tests.live.stack import START_TIMEOUT_S, Stack, simulated_stack
from tests.waiting import wait_until

TARGET_P95_MS = 300
# As many large bodies as one user may send at once (`testbed/bodies.py`).
SENDERS = 2
OWNER, SENDER = "owner", "sender"


def main() -> int:
    """Run the benchmark."""
    options = parser("a page beside large bodies")
    options.add_argument("--seconds", type=float, default=20, help="of each row")
    options.add_argument("--mib", type=int, default=64, help="of each body")
    chosen = options.parse_args()
    with folder(keep=chosen.keep) as place:
        write_testbed(place / "testbed", 4, 1)
        with simulated_stack(place, hosts=1) as stack:
            table = measure(stack, place / "testbed", chosen.seconds, chosen.mib)
    return conclude(table, strict=chosen.strict)


def measure(stack: Stack, testbed: Path, seconds: float, mib: int) -> Table:
    """Time the page of one user, alone and beside the bodies of others."""
    for name in (OWNER, SENDER):
        stack.add_user(name)
        stack.client(name).create_testbed(name, testbed)
    page = stack.client(OWNER).pages
    table = Table(f"a page beside bodies of {mib} MiB")
    add_page(table, "page alone", timed(page, seconds))
    for what, user in (("anonymous forms", ()), ("uploads of a user", (SENDER,))):
        with senders(stack, what, str(mib), *user) as running:
            late_ms = timed(page, seconds)
            if any(sender.poll() is not None for sender in running):
                raise RuntimeError(f"a sender ended: {stack.log(what)}")
        add_page(table, f"page beside {what}", late_ms)
        table.add("  bodies sent", stack.log(what).count("sent"))
    memory_mib = usage(stack.processes["web"].pid).peak_mib
    table.add("peak memory of the web", memory_mib, "MiB")
    return table


def add_page(table: Table, what: str, late_ms: list[float]) -> None:
    """Add the quantiles of a page's times."""
    cuts = quantiles(late_ms, n=100)
    table.add(f"{what}, p50", cuts[49], "ms")
    table.add("  p95", cuts[94], "ms", at_most=TARGET_P95_MS)
    table.add("  max", max(late_ms), "ms")
    table.add("  pages", len(late_ms))


def timed(page: Pages, seconds: float) -> list[float]:
    """Return the milliseconds of the page, asked for again and again."""
    late_ms = []
    ends_at = time.monotonic() + seconds
    while time.monotonic() < ends_at:
        began_at = time.perf_counter()
        page.read(f"/testbeds/{OWNER}/")
        late_ms.append((time.perf_counter() - began_at) * 1000)
    return late_ms


@contextmanager
def senders(
    stack: Stack, what: str, *words: str
) -> "Iterator[list[subprocess.Popen[bytes]]]":
    """Send bodies from several processes; yield once each has sent one."""
    words = (sys.executable, "-m", "benchmarks.web.body_sender", stack.url, *words)
    environment = stack.environment | {"PYTHONPATH": os.environ["PYTHONPATH"]}
    with (stack.folder / f"{what}.log").open("ab") as log:
        running = [
            subprocess.Popen(words, env=environment, stdout=log, stderr=log)
            for _ in range(SENDERS)
        ]
    try:
        wait_until(
            lambda: stack.log(what).count("sent") >= SENDERS,
            f"no body was sent: {stack.log(what)}",
            timeout_s=START_TIMEOUT_S,
        )
        yield running
    finally:
        for sender in running:
            with sender:
                sender.kill()


if __name__ == "__main__":
    sys.exit(main())
