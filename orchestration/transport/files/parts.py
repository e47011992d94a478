"""Half files of this machine: whose writer lives, and whose may go.

What is copied is written beside its target, under a name that ends in `.part`, and
locked as long as its writer lives: the kernel lets go of the lock of a killed one. So
the next writer of the same target, and whoever tidies up, removes what nobody writes.
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
    """Open a new file beside `target`, for renaming; gone afterwards if it was not.

    It is locked as long as its writer lives, so that what a dead one left can be told
    apart. Raises: OSError.
    """
    part = Path(part_path(str(target)))
    try:
        with _open_locked(part) as writer:
            yield part, writer
    finally:
        part.unlink(missing_ok=True)


def sweep_beside(target: Path) -> None:
    """Remove what dead writers of `target` left beside it."""
    name = glob.escape(target.name[:200])
    for part in target.parent.glob(f".{name}.????????.part"):
        remove_if_abandoned(part)


def remove_if_abandoned(part: Path) -> bool:
    """Remove a file of `written_beside` unless its writer lives; say whether."""
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
