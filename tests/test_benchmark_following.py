"""The benchmark of a client's memory counts that of the client alone."""

import subprocess
import sys

from benchmarks.requests.following import MIB, peaks

LARGE = 150 * MIB
SMALL = "x = bytearray(20 << 20); import time; time.sleep(0.5)"


def test_memory_of_a_process_is_not_that_of_its_parent() -> None:
    held = bytearray(b"x" * LARGE)
    process = subprocess.Popen([sys.executable, "-c", SMALL])

    early, peak = peaks(process, early_s=0.2)

    assert len(held) == LARGE
    assert 0 < early <= peak < LARGE
