"""Starts Celery's embedded beat again when its process has ended.

A worker started with -B forks beat once and never looks after it; without it nothing is
swept and no host is observed. `BeatWatch` is a step of the worker's main process, whose
timer looks. Batches under way go on. A beat that hangs is not seen here: the pages then
say since when the hosts were not read (`pages/freshness.py`).
"""

import logging
from typing import Any

from celery import bootsteps
from celery.worker.components import Beat, Timer

logger = logging.getLogger(__name__)

LOOK_EVERY_S = 5.0
# celery.apps.worker.Worker, of which the stubs lack what its steps set.
Worker = Any


class BeatWatch(bootsteps.StartStopStep):
    """Looks at the beat of a worker that has one."""

    requires = (Timer, Beat)

    def __init__(
        self, worker: Worker, *, beat: bool = False, **options: object
    ) -> None:
        self.enabled = bool(beat)
        super().__init__(worker, beat=beat, **options)

    def start(self, worker: Worker) -> None:
        """Look from now on; the timer ends with the worker."""
        worker.timer.call_repeatedly(LOOK_EVERY_S, start_again, (worker,))


def start_again(worker: Worker) -> None:
    """Start a new beat where the old one has ended."""
    ended = worker.beat
    if ended.is_alive():
        return
    logger.critical(
        "Celery's beat (process %s) ended with exit code %s: a new one is started",
        ended.pid,
        ended.exitcode,
    )
    step = worker.blueprint.steps[Beat.name]
    step.obj = step.create(worker)
    step.obj.start()
