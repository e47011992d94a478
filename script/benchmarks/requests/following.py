"""The memory of a `testbed attach` that follows a run of many lines a second.

The server is a small one of this process, so that the client alone is measured; it
sends faster than the client reads when the client is slower than the rate.
"""

import json
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from websockets.sync.server import ServerConnection

from tests.testbed.client.rest.lab_server import RUN, end_at_once, lab_server

BATCH_S = 0.01
# Python and its packages have grown to their size by then.
EARLY = 0.2
LOOK_S = 0.1
MIB = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Followed:
    """Lines a second that were taken, and the largest memory early and in all."""

    lines_per_s: float
    early_bytes: int
    peak_bytes: int


def follow(
    program: tuple[str, ...],
    at: Path,
    environment: Mapping[str, str],
    *,
    per_s: int,
    seconds: float,
) -> Followed:
    """Let a client follow that many lines a second to a pipe that nothing keeps."""
    taken: list[float] = []

    def tell(connection: ServerConnection) -> None:
        taken.append(_flood(connection, per_s, seconds))
        end_at_once(connection)

    with lab_server(None, tell=tell) as port:
        process = subprocess.Popen(
            [sys.executable, *program, "attach", str(RUN)],
            cwd=at,
            env={**environment, "TESTBED_SERVER": f"http://127.0.0.1:{port}"},
            stdout=subprocess.DEVNULL,
        )
        early, peak = peaks(process, early_s=EARLY * seconds)
    if process.returncode:
        raise SystemExit(f"attach ended with {process.returncode}.")
    return Followed(taken[0], early, peak)


def peaks(process: "subprocess.Popen[bytes]", *, early_s: float) -> tuple[int, int]:
    """Wait for a process; return its largest memory after `early_s`, and at its end.

    The kernel's account of an ended process, `ru_maxrss`, has the memory of its parent
    at the fork, too.
    """
    ends_at = time.monotonic() + early_s
    early = peak = 0
    while process.poll() is None:
        peak = max(peak, _peak_bytes(process.pid))
        if time.monotonic() < ends_at:
            early = peak
        time.sleep(LOOK_S)
    return early, peak


def _flood(connection: ServerConnection, per_s: int, seconds: float) -> float:
    """Send lines for so long; return how many a second were taken."""
    began = time.monotonic()
    batch, sent = max(1, round(per_s * BATCH_S)), 0
    while (now := time.monotonic() - began) < seconds:
        for _ in range(batch):
            sent += 1
            connection.send(json.dumps(_line(sent)))
        time.sleep(max(0.0, sent / per_s - (time.monotonic() - began)))
    return sent / now


def _line(seq: int) -> dict[str, object]:
    return {
        "type": "event",
        "seq": seq,
        "kind": "log",
        "index": 0,
        "resource": f"g{seq % 200}",
        "host": "main",
        "stream": "stdout",
        "text": f"line {seq} of a guest that says a lot while it is set up",
    }


def _peak_bytes(pid: int) -> int:
    """Return the largest memory of a process until now."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return 0
