"""The digests of large local files, kept between commands, as Git's index keeps them.

A file that has the size, times, inode and device of then is not read again. One that was
changed shortly before it was read is: a second change in the same tick of its file
system's clock would not show. Kept in the user's cache folder, for that user alone; what
cannot be read or written there is done without.
"""

import json
import os
import time
from collections.abc import Callable
from contextlib import suppress
from hashlib import file_digest
from io import BufferedReader
from pathlib import Path

from orchestration.compose.files import open_in
from orchestration.files import write_whole

# Smaller files are read as quickly as they are looked up.
LARGE_BYTES = 1024**2
# The file systems with the coarsest clock, FAT, count two seconds.
TICK_NS = 2_000_000_000
MOST_KEPT = 2_000
MODE, FOLDER_MODE = 0o600, 0o700


class NotRegular(Exception):
    """A path is a link, a FIFO or a device, and was not opened for reading."""


class Digests:
    """SHA-256 of files; those of large ones are looked up in `file`, if there is one."""

    def __init__(
        self, file: Path | None = None, clock: Callable[[], int] = time.time_ns
    ) -> None:
        self._file = file
        self._clock = clock
        self._kept: dict[str, list[object]] | None = None
        self._has_changed = False

    @classmethod
    def of_user(cls) -> "Digests":
        """Return those that the present user's former commands kept."""
        try:
            home = os.environ.get("XDG_CACHE_HOME") or str(Path.home() / ".cache")
        except RuntimeError:  # there is no home
            return cls()
        return cls(Path(home) / "testbed" / "digests.json")

    def of(self, path: Path) -> str:
        """Return the digest of a file. Raises: OSError, NotRegular."""
        with opened(path) as file:
            before = os.fstat(file.fileno())
            if self._file is None or before.st_size < LARGE_BYTES:
                return file_digest(file, "sha256").hexdigest()
            kept, key, marks = self._read(), str(path.absolute()), _marks(before)
            found = kept.pop(key, None)
            if found and found[:-1] == marks:
                kept[key] = found  # the last ones used stay longest
                return str(found[-1])
            began_at = self._clock()
            digest = file_digest(file, "sha256").hexdigest()
            self._has_changed = True
            is_same = _marks(os.fstat(file.fileno())) == marks
            if is_same and _changed_at(before) < began_at - TICK_NS:
                kept[key] = [*marks, digest]
            return digest

    def save(self) -> None:
        """Keep what was read for the next command, where there is room for it."""
        if self._file is None or not self._has_changed:
            return
        newest = list(self._read().items())[-MOST_KEPT:]
        with suppress(OSError):
            self._file.parent.mkdir(mode=FOLDER_MODE, parents=True, exist_ok=True)
            write_whole(self._file, json.dumps(dict(newest)), mode=MODE)
            self._has_changed = False

    def _read(self) -> dict[str, list[object]]:
        if self._kept is None:
            self._kept = {}
            with suppress(OSError, ValueError, RecursionError):
                found = json.loads(self._file.read_bytes()) if self._file else {}
                if isinstance(found, dict):
                    self._kept = {k: v for k, v in found.items() if _is_entry(v)}
        return self._kept


def opened(path: Path) -> BufferedReader:
    """Open a file to be read, and nothing that it became meanwhile.

    Raises: OSError, NotRegular.
    """
    file = open_in(None, str(path))
    if file is None:
        raise NotRegular(path)
    return file


def _marks(found: os.stat_result) -> list[object]:
    times = [found.st_mtime_ns, found.st_ctime_ns]
    return [found.st_size, *times, found.st_ino, found.st_dev]


def _changed_at(found: os.stat_result) -> int:
    return max(found.st_mtime_ns, found.st_ctime_ns)


def _is_entry(value: object) -> bool:
    if not isinstance(value, list) or len(value) != 6:
        return False
    *marks, digest = value
    is_digest = isinstance(digest, str) and len(digest) == 64
    return is_digest and all(type(one) is int for one in marks)
