"""One process that ends tasks of runs, one after the other at a steady pace.

Started by tests/live/flood.py with the numbers of the runs, the number of the first
task, how many of each run end, and the seconds from one to the next. Writes a line for
each end: the run, how many of its tasks are over, and the clock of the machine.
"""

import sys
import time

import django

django.setup()

from orchestration.events import Status, TaskFinished  # noqa: E402
from testbed.runs.recorder import Recorder  # noqa: E402


def main() -> None:
    """End the tasks; the runs take their turns within each pace."""
    runs = [int(run) for run in sys.argv[1].split(",")]
    first, count = int(sys.argv[2]), int(sys.argv[3])
    pace_s = float(sys.argv[4])
    recorders = [Recorder(run) for run in runs]
    begun = time.monotonic()
    for step in range(count):
        for place, (run, recorder) in enumerate(zip(runs, recorders, strict=True)):
            due = begun + pace_s * (step + place / len(runs))
            time.sleep(max(0, due - time.monotonic()))
            sys.stdout.write(f"{run} {step + 1} {time.monotonic()}\n")
            sys.stdout.flush()
            resource = f"guest-{first + step:03}"
            recorder.sink(TaskFinished(0, resource, "main", Status.DONE))
    for recorder in recorders:
        recorder.close()


if __name__ == "__main__":
    main()
