"""Locks of main's image store, so that several workers do the same work once.

Used for fetching, copying, preparing and deleting images. A lock is a file beside the
image; the kernel releases it when a worker dies. The file is removed a day after its
creation, while its lock is held: a worker that waits for it then takes the new file.
"""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestration.locks import take
from orchestration.transport.base import Log, Scope

LOCK_POLL_S = 0.1
_NAME = re.compile(r"\..+\.(fetch|golden|push-.+)\.lock")


@contextmanager
def locked(
    target: Path, scope: Scope, say: Log, *, purpose: str = "fetch"
) -> Iterator[None]:
    """Hold the lock of an image; log a wait for it."""
    path = target.with_name(f".{target.name}.{purpose}.lock")
    waiting = False
    while (file := take(path)) is None:
        if not waiting:
            say(f"Another run works on {target.name}; waiting for it.")
        waiting = True
        scope.sleep(LOCK_POLL_S)
    with file:
        yield


def remove_old_locks(folder: Path, *, age_s: float) -> int:
    """Remove old lock files that no worker holds; return their number."""
    before, removed = time.time() - age_s, 0
    for path in folder.glob(".*.lock"):
        if not (_NAME.fullmatch(path.name) and _changed_at(path) < before):
            continue
        if (file := take(path)) is not None:
            with file:
                path.unlink(missing_ok=True)
                removed += 1
    return removed


def _changed_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except FileNotFoundError:
        return time.time()
