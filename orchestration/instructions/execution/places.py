"""Bounds how many guests of one execution are at work, over all processes that work on it.

Hosts are batches of their own and run in several processes on main. A place is a locked
file beside the guests' answers: the kernel frees the places of a process that dies.
"""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from orchestration.instructions.execution.answers import make_answers_folder
from orchestration.locks import POLL_S, take

FOLDER_NAME = ".places"
logger = logging.getLogger(__name__)


class Places:
    """The places of one execution; `count` 0 is no bound, and no file is made."""

    def __init__(self, answers: Path | None, count: int) -> None:
        self._folder = answers / FOLDER_NAME if answers and count else None
        self._count = count
        # One thread of a process looks for a place, the others wait behind it.
        self._looking = threading.Lock()

    @contextmanager
    def one(self, stop: threading.Event) -> Iterator[None]:
        """Wait for a place and hold it. After a stop, hold none: no task begins then."""
        held = self._wait(self._folder, stop) if self._folder else None
        try:
            yield
        finally:
            if held is not None:
                held.close()

    def _wait(self, folder: Path, stop: threading.Event) -> BinaryIO | None:
        with self._looking:
            while not stop.is_set():
                try:
                    if found := self._free(folder):
                        return found
                except OSError:
                    logger.exception("guests at once are bounded on each host alone")
                    return None
                stop.wait(POLL_S)
        return None

    def _free(self, folder: Path) -> BinaryIO | None:
        make_answers_folder(folder.parent)
        folder.mkdir(mode=0o700, exist_ok=True)
        found = (take(folder / str(number)) for number in range(self._count))
        return next((file for file in found if file is not None), None)
