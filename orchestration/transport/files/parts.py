"""Unfinished files of this machine, locked by their writers.

A copy is written beside its target, under a name that ends in `.part`. Its writer holds
a lock on it, which the kernel releases when the writer is killed. So the next writer of
the same target, and any clean-up, can remove files without a writer.
"""

import glob
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from orchestration.files import part_path
from orchestration.locks import lock


@contextmanager
def written_beside(target: Path) -> Iterator[tuple[Path, BinaryIO]]:
    """Open a new file beside `target`, for renaming; remove it if it was not renamed.

    The writer's lock distinguishes it from files of dead writers. Raises: OSError.
    """
    part = Path(part_path(str(target)))
    try:
        with _open_locked(part) as writer:
            yield part, writer
    finally:
        part.unlink(missing_ok=True)


def sweep_beside(target: Path) -> None:
    """Remove the files that dead writers of `target` left beside it."""
    name = glob.escape(target.name[:200])
    for part in target.parent.glob(f".{name}.????????.part"):
        remove_if_abandoned(part)


def remove_if_abandoned(part: Path) -> bool:
    """Remove a file of `written_beside` without a live writer; return if it went."""
    try:
        with part.open("rb") as file:
            is_abandoned = lock(file.fileno(), wait=False)
            if is_abandoned:
                part.unlink(missing_ok=True)
            return is_abandoned
    except OSError:  # its writer renamed or removed it meanwhile
        return False


def _open_locked(part: Path) -> BinaryIO:
    while True:
        file = part.open("xb")
        lock(file.fileno())
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()  # swept between its making and its lock: once more
