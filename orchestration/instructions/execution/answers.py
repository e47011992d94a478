"""Keeps what a program printed in one guest, whole and in order, in a file on main.

Rows of the run's log are for following; two hundred guests with thousands of lines each
are for files. A line of the file is `O` or `E`, for the stream, and the text. Equal
outputs have equal digests, by which pages and clients fold them; how the two streams
came to interleave in a guest makes no difference.
"""

import os
import threading
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from orchestration.events import Answer, Stream
from orchestration.files import give_to_owner_of
from orchestration.instructions.bounded_log import BoundedLog

_MARKS = {Stream.INFO: b"I", Stream.STDOUT: b"O", Stream.STDERR: b"E"}
_STREAMS = {mark[0]: stream for stream, mark in _MARKS.items()}


class AnswerFile:
    """One guest's output while it is written; thread-safe."""

    def __init__(self, path: Path, *, budget_bytes: int) -> None:
        self._file = _create(path)
        self._lock = threading.Lock()
        self._digests = {stream: sha256() for stream in _MARKS}
        self._lines = self._bytes = 0
        self._log = BoundedLog(self._write, budget_bytes)
        self._is_cut = False

    def add(self, stream: Stream, text: str) -> None:
        """Take one line."""
        self._log.add(stream, text)

    def close(self, exit_code: int | None) -> Answer:
        """Write the rest, and return what the file holds."""
        self._log.close()
        self._file.close()
        streams = b"".join(digest.digest() for digest in self._digests.values())
        digest = sha256(streams).hexdigest()
        return Answer(exit_code, self._lines, self._bytes, digest, self._is_cut)

    def _write(self, stream: Stream, text: str) -> None:
        line = _MARKS[stream] + text.encode(errors="replace") + b"\n"
        with self._lock:
            self._is_cut |= stream is Stream.INFO
            self._digests[stream].update(line)
            self._lines += 1
            self._bytes += len(line) - 1
            self._file.write(line)


def answer_lines(path: Path) -> Iterator[tuple[Stream, str]]:
    """Yield the lines of an answer that was written here, one after the other."""
    with path.open("rb") as file:
        yield from filter(None, map(read_line, file))


def read_line(line: bytes) -> tuple[Stream, str] | None:
    """Read a line of an answer's file; None while it is being written."""
    if not line.endswith(b"\n"):
        return None
    return _STREAMS[line[0]], line[1:-1].decode()


def make_answers_folder(folder: Path) -> None:
    """Make the folder of a run's answers, readable to its owner alone."""
    for each in (folder.parent, folder):
        if not each.exists():
            each.mkdir(mode=0o700, exist_ok=True)
            give_to_owner_of(each.parent, each)


def _create(path: Path) -> BinaryIO:
    make_answers_folder(path.parent)
    flags = os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW
    file = os.fdopen(os.open(path, flags, 0o600), "wb")
    give_to_owner_of(path.parent, file.fileno())
    return file
