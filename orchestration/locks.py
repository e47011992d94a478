"""Locks between processes and threads: files that are held with flock.

The only place that locks files. The kernel releases the lock of a process that dies,
so no lock outlives its holder. `held` waits in the kernel and suits locks that are
held for milliseconds; a wait that a user may cancel calls `take` again and again.
The library filelock (4.3) does not fit: it polls, keeps the descriptor to itself, and
has neither shared flocks nor locks on folders.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

POLL_S = 0.05


@contextmanager
def held(path: Path, *, shared: bool = False) -> Iterator[int]:
    """Wait for the lock of a file or folder and hold it; a missing file is made.

    Yields the open descriptor, for locks on the protected file itself.
    """
    descriptor = _open(path)
    try:
        lock(descriptor, shared=shared)
        yield descriptor
    finally:
        os.close(descriptor)


@contextmanager
def held_if_free(path: Path, *, wait_s: float = 0.0) -> Iterator[bool]:
    """Hold the lock if it becomes free in time; yields whether it is held.

    The lock is that of the file which is at the path when it is held.
    """
    deadline = time.monotonic() + wait_s
    descriptor = _open(path)
    try:
        while True:
            is_held = lock(descriptor, wait=False)
            if is_held and _is_at(path, descriptor):
                break
            if is_held:  # its holder moved or removed it meanwhile
                gone, descriptor = descriptor, _open(path)
                os.close(gone)
            elif time.monotonic() >= deadline:
                break
            else:
                time.sleep(POLL_S)
        yield is_held
    finally:
        os.close(descriptor)


def take(path: Path) -> BinaryIO | None:
    """Open and lock a file that its holder may remove; None when it is held.

    Closing the file releases the lock. The folder has to exist.
    """
    while True:
        file = path.open("ab")
        if not lock(file.fileno(), wait=False):
            file.close()
            return None
        # Removed between its opening and its lock: the next holder has another file.
        if os.fstat(file.fileno()).st_nlink:
            return file
        file.close()


def lock(descriptor: int, *, shared: bool = False, wait: bool = True) -> bool:
    """Lock an open file; False when another holds the lock and `wait` is false."""
    kind = fcntl.LOCK_SH if shared else fcntl.LOCK_EX
    try:
        fcntl.flock(descriptor, kind if wait else kind | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        return os.path.samestat(path.stat(), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _open(path: Path) -> int:
    path.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_RDONLY if path.is_dir() else os.O_RDWR | os.O_CREAT
    return os.open(path, flags | os.O_CLOEXEC, 0o600)
