"""Counts the failed guests of one execution, over all processes that work on it.

Hosts are batches of their own and run in several processes on main. The count is the
size of a file beside the guests' answers: a failure appends one byte, which needs no
lock.
"""

import logging
import os
from pathlib import Path

from orchestration.amounts import count_of
from orchestration.instructions.execution.answers import make_answers_folder

FILE_NAME = ".failures"
logger = logging.getLogger(__name__)


class FailureLimit:
    """Tells when `most` guests have failed; `most` 0 is never, and nothing is kept."""

    def __init__(self, answers: Path | None, most: int) -> None:
        self._file = answers / FILE_NAME if answers and most else None
        self._most = most

    def add(self) -> None:
        """Count one failure."""
        if self._file is None:
            return
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW
        try:
            make_answers_folder(self._file.parent)
            descriptor = os.open(self._file, flags, 0o600)
            try:
                os.write(descriptor, b"x")
            finally:
                os.close(descriptor)
        except OSError:
            logger.exception("a failure could not be counted in %s", self._file)

    @property
    def is_reached(self) -> bool:
        """Return whether no further guest may begin."""
        return self._file is not None and self._count() >= self._most

    @property
    def reason(self) -> str:
        """Return why a guest does not begin."""
        return f"not begun: {count_of(self._most, 'guest')} had failed before"

    def _count(self) -> int:
        try:
            return self._file.stat().st_size if self._file else 0
        except FileNotFoundError:
            return 0
