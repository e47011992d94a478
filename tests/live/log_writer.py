"""One process of a flood: a recorder, and a thread for each guest that talks.

Started by tests/live/flood.py with the numbers of the runs, the first guest, the count
of guests, lines per second, and lines in all.
"""

import sys
import threading
import time

import django

django.setup()

from orchestration.events import (  # noqa: E402
    LogLine,
    Status,
    Stream,
    TaskFinished,
    TaskStarted,
)
from testbed.runs.recorder import Recorder  # noqa: E402

TICK_S = 0.1
WORDS = "Unpacking libexample-perl (2.31-1) over (2.30-4) ... ok"


def talk(recorder: Recorder, resource: str, lines_per_s: float, lines: int) -> None:
    """Say what is due at each tick, so that a slow machine is not let off."""
    recorder.sink(TaskStarted(0, resource, "main"))
    begun, said = time.monotonic(), 0
    while said < lines:
        now = time.monotonic()
        due = min(lines, int((now - begun) * lines_per_s) + 1)
        for number in range(said, due):
            text = f"{time.monotonic():.6f} {number} {WORDS}"
            recorder.sink(LogLine(0, resource, "main", Stream.STDOUT, text))
        said = due
        time.sleep(TICK_S)
    recorder.sink(TaskFinished(0, resource, "main", Status.DONE))


def main() -> None:
    """Talk until everything is said and stored."""
    first, count, lines = (int(sys.argv[n]) for n in (2, 3, 5))
    lines_per_s = float(sys.argv[4])
    recorders = [Recorder(int(run)) for run in sys.argv[1].split(",")]
    threads = [
        threading.Thread(
            target=talk, args=(recorder, f"guest-{number:03}", lines_per_s, lines)
        )
        for recorder in recorders
        for number in range(first, first + count)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for recorder in recorders:
        recorder.close()


if __name__ == "__main__":
    main()
