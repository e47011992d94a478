"""Locks of main's image store, so that several workers do the same work once.

Used for fetching, copying and preparing images. A lock is a file beside the image; the
kernel lets go of it when a worker dies.
"""

import fcntl
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from orchestration.transport.base import Scope

LOCK_POLL_S = 0.1

Log = Callable[[str], None]


@contextmanager
def locked(
    target: Path, scope: Scope, say: Log, *, purpose: str = "fetch"
) -> Iterator[None]:
    """Hold the lock of an image; say so when it has to be waited for."""
    path = target.with_name(f".{target.name}.{purpose}.lock")
    with path.open("a") as file:
        waiting = False
        while True:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if not waiting:
                    say(f"Another run works on {target.name}; waiting for it.")
                waiting = True
                scope.sleep(LOCK_POLL_S)
        yield
