"""The part of `script/bench api` under load: requests at a rate beside two running runs.

Requests begin by the clock, whether those before are answered or not, and their delay is
counted from the time at which each should have begun. The runs' lines come from real
recorders, and a client of the protocol has to get each of them.
"""

import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from statistics import quantiles

import httpx

from benchmarks.logs import Listener
from benchmarks.measuring import Table, usage
from tests.live.flood import Flood, close_run, log_writers, open_runs
from tests.live.stack import Stack

REQUESTS_PER_S = 50
AT_ONCE = 32
FLOOD_GUESTS, LINES_PER_S = 20, 5.0
NAMES = ("busy-0", "busy-1")


def add_load(
    table: Table, stack: Stack, testbed: Path, headers: dict[str, str], seconds: float
) -> None:
    """Send requests while two runs go on; the product's own worker is stopped then."""
    client = stack.client("admin")
    for name in NAMES:
        client.create_testbed(name, testbed)
    stack.stop("worker")
    flood = Flood(FLOOD_GUESTS, LINES_PER_S, seconds)
    runs = open_runs(stack, NAMES, flood)
    readers = [Listener(client.pages, run, "?batch=1", is_whole=True) for run in runs]
    paths = [f"/api/v1/runs/{run}" for run in runs]
    paths += ["/api/v1/testbeds?per_page=10", "/api/v1/me", "/api/v1/activity"]
    before, began_at = usage(stack.processes["web"].pid), time.monotonic()
    with log_writers(stack, runs, flood, processes=1) as writing:
        sent_at = time.monotonic()
        late_ms, refused = _send(stack.url, headers, paths, seconds)
        answered_per_s = len(late_ms) / (time.monotonic() - sent_at)
        for writer in writing:
            writer.wait()
    after, took_s = usage(stack.processes["web"].pid), time.monotonic() - began_at
    close_run(stack, *runs)
    for reader in readers:
        reader.join()
    got = sum(len(reader.late_s) for reader in readers)
    faults = sum(reader.faults for reader in readers)
    cuts = quantiles(late_ms, n=100)
    table.add(f"{REQUESTS_PER_S} requests/s beside two runs, p50", cuts[49], "ms")
    table.add("  p95", cuts[94], "ms")
    table.add("  answered", answered_per_s, "/s", at_least=0.95 * REQUESTS_PER_S)
    table.add("  not answered well", refused, at_most=0)
    lost = flood.lines * len(runs) - got + faults
    table.add("  events lost, double or in disorder", lost, at_most=0)
    cpu_percent = 100 * (after.cpu_s - before.cpu_s) / took_s
    table.add("  CPU of the web, of one processor", cpu_percent, "%")


def _send(
    url: str, headers: dict[str, str], paths: list[str], seconds: float
) -> tuple[list[float], int]:
    """Return each request's delay in ms, and how many were not answered with 200."""
    begins_at = time.monotonic()

    def one(number: int) -> tuple[float, bool]:
        due = begins_at + number / REQUESTS_PER_S
        time.sleep(max(0.0, due - time.monotonic()))
        try:
            is_good = client.get(paths[number % len(paths)]).status_code == 200
        except httpx.HTTPError:
            is_good = False
        return 1000 * (time.monotonic() - due), is_good

    with (
        httpx.Client(base_url=url, headers=headers, timeout=60) as client,
        ThreadPoolExecutor(AT_ONCE) as pool,
    ):
        found = list(pool.map(one, range(round(REQUESTS_PER_S * seconds))))
    return [late for late, _ in found], sum(not is_good for _, is_good in found)
