"""Runs blocking paramiko calls on threads, so that a cancelled caller can leave.

Dialling and the wait for a command's answer depend on a peer that may be gone, without
an end of their own.
"""

import contextlib
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from functools import partial
from queue import SimpleQueue
from typing import TypeVar

from orchestration.errors import Cancelled

# The interval at which a wait looks for a stop: at 20 ms two hundred waiting commands
# took a quarter of a processor.
POLL_S = 0.1
MOST_IDLE = 128
_T = TypeVar("_T")


def cancellable(
    work: Callable[[], _T],
    is_stopped: Callable[[], bool],
    *,
    discard: Callable[[_T], object] | None = None,
) -> _T:
    """Run blocking work that can be left; pass a late result to `discard`.

    Raises: Cancelled, the errors of `work`.
    """
    future = start(work)
    try:
        return await_future(future, is_stopped)
    except Cancelled:
        if discard is not None:
            future.add_done_callback(partial(_discard_late, discard))
        raise


def pause(seconds: float, is_stopped: Callable[[], bool]) -> None:
    """Sleep, less when stopped. Raises: Cancelled."""
    until = time.monotonic() + seconds
    while (left_s := until - time.monotonic()) > 0:
        if is_stopped():
            raise Cancelled
        time.sleep(min(left_s, POLL_S))


@contextlib.contextmanager
def slot(
    slots: threading.BoundedSemaphore, is_stopped: Callable[[], bool]
) -> Iterator[None]:
    """Hold one of a bounded number of places. Raises: Cancelled (while waiting)."""
    while not slots.acquire(timeout=POLL_S):
        if is_stopped():
            raise Cancelled
    try:
        yield
    finally:
        slots.release()


def _discard_late(discard: Callable[[_T], object], future: Future[_T]) -> None:
    if future.exception() is None:
        discard(future.result())


def start(work: Callable[[], _T]) -> Future[_T]:
    """Start the work on a thread that does nothing else meanwhile."""
    future: Future[_T] = Future()

    def target() -> None:
        try:
            future.set_result(work())
        except BaseException as exc:  # noqa: BLE001 - passed to the waiting caller
            future.set_exception(exc)

    try:
        helper = _idle.pop()
    except IndexError:
        helper = _Helper()
        helper.start()
    helper.work.put(target)
    return future


class _Helper(threading.Thread):
    """A thread that waits for the next work: two hundred commands start at once.

    A daemon, unlike those of `ThreadPoolExecutor`: none keeps its process from ending.
    """

    def __init__(self) -> None:
        super().__init__(name="ssh-waiting", daemon=True)
        self.work: SimpleQueue[Callable[[], None]] = SimpleQueue()

    def run(self) -> None:
        """Work, until there are enough idle threads without this one."""
        while True:
            self.work.get()()
            if len(_idle) >= MOST_IDLE:
                return
            _idle.append(self)


# A list's `pop` and `append` are atomic. Threads do not cross a fork.
_idle: list[_Helper] = []
os.register_at_fork(after_in_child=_idle.clear)


def await_future(future: Future[_T], is_stopped: Callable[[], bool]) -> _T:
    """Wait for the result, or a stop. Raises: Cancelled, the errors of the work."""
    while True:
        try:
            return future.result(timeout=POLL_S)
        except TimeoutError:
            if future.done():
                raise
            if is_stopped():
                raise Cancelled from None
