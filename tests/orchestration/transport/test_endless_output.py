"""Commands that print without end: their time limit and cancel hold all the same."""

import itertools
import os
import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial

import pytest

from orchestration.errors import Cancelled, CommandTimedOut
from orchestration.events import Stream
from orchestration.transport.base import Completed, Scope, Transport, command
from tests.orchestration.transport.conftest import carriers

# Read slowly, these take longer than a talker to fill every buffer on the way.
LINES = 1_000
TALKERS = [("yes", "hello"), ("sh", "-c", "yes hello >&2")]


def error_of(run: Future[Completed], scope: Scope) -> BaseException | None:
    """Return a run's error; a talker that nobody ends in time is ended here."""
    try:
        return run.exception(timeout=30)
    finally:
        for pid in carriers(scope.tag):
            os.kill(pid, signal.SIGKILL)


@pytest.mark.parametrize("talker", TALKERS, ids=["stdout", "stderr"])
def test_time_limit_ends_a_command_that_prints_faster_than_it_is_read(
    machine: Transport, scope: Scope, passed: list[float], talker: tuple[str, ...]
) -> None:
    lines = itertools.count(1)

    def on_line(_: Stream, line: str) -> None:
        time.sleep(1e-4)
        if next(lines) == LINES:
            passed.append(3600)

    run_it = partial(machine.run, scope=scope, timeout_s=900, on_line=on_line)
    with ThreadPoolExecutor(1) as pool:
        error = error_of(pool.submit(run_it, command(*talker)), scope)

    assert isinstance(error, CommandTimedOut)
    assert not scope.ended[0].survivors


@pytest.mark.parametrize("talker", TALKERS, ids=["stdout", "stderr"])
def test_cancel_ends_a_command_that_prints_faster_than_it_is_read(
    machine: Transport, scope: Scope, talker: tuple[str, ...]
) -> None:
    read = threading.Event()

    def on_line(_: Stream, line: str) -> None:
        time.sleep(1e-4)
        read.set()

    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(machine.run, command(*talker), scope=scope, on_line=on_line)
        assert read.wait(30)
        scope.cancel()
        error = error_of(run, scope)

    assert isinstance(error, Cancelled)
    assert not scope.ended[0].survivors
