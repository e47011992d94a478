"""Waits for a condition that a thread, a process or a host brings about."""

import time
from collections.abc import Callable
from typing import TypeVar

Answer = TypeVar("Answer")


def wait_until(
    condition: Callable[[], Answer],
    failure: str = "the condition never held",
    *,
    timeout_s: float = 60,
    pause_s: float = 0.01,
) -> Answer:
    """Return the condition's first true answer; fail after `timeout_s` seconds."""
    deadline = time.monotonic() + timeout_s
    while not (answer := condition()):
        assert time.monotonic() < deadline, failure
        time.sleep(pause_s)
    return answer
