"""Crashes of our own: a run needs neither its window nor the web server to go on."""

import signal

import pytest

from testbed.client import frames, send
from tests.live.watch import (
    DATA,
    Ran,
    condition,
    followed,
    holdings,
    ran,
)

pytestmark = pytest.mark.live
SLUG = "crashes"


def numbers(run: Ran) -> list[int]:
    """Return the numbers of the events that a client saw."""
    return [frame["seq"] for frame in run.frames if "seq" in frame]


def test_killed_web_server_stops_no_run_and_loses_no_event(stack, owner):
    owner.create_testbed(SLUG, DATA / "pair")

    def act(run, frame):
        if run.is_at(frame, "ensure-networks", "task-started"):
            stack.stop("web", with_signal=signal.SIGKILL)
            stack.start_web()

    over = ran(owner, SLUG, "up", act)

    assert over.status == "succeeded", over.words
    assert numbers(over) == list(range(1, over.frames[-1]["seq"] + 1))
    assert numbers(followed(owner, over.started)) == numbers(over)
    assert over.statuses()["set-up-guests"] == {"done"}
    assert condition(stack, SLUG) == "up"


def test_closed_window_stops_no_run(stack, owner):
    started = owner.start(SLUG, "down")
    first = started.instructions[0]

    with owner.socket(started.number) as window:
        send(window, {"type": "instruction", "index": 0, "kind": first["kind"]})
        assert next(f for f in frames(window) if f["type"] == "ack")["valid"]
    over = followed(owner, started)

    assert over.status == "succeeded", over.words
    assert over.statuses()["stop-guests"] == {"done"}
    assert condition(stack, SLUG) == "down"


def test_killed_worker_interrupts_a_run_that_up_goes_on_with(stack, owner):
    before = holdings(stack)

    def act(run, frame):
        if run.is_at(frame, "set-up-guests", "task-started"):
            stack.stop("worker", with_signal=signal.SIGKILL)
            stack.start_worker()

    over = ran(owner, SLUG, "up", act)

    assert over.status == "interrupted", over.words
    assert "A worker was lost" in over.words
    assert "Start the command again" in over.words
    assert condition(stack, SLUG) == "partial"

    up = ran(owner, SLUG, "up")

    assert up.status == "succeeded", up.words
    assert up.statuses()["create-disks"] == {"unchanged"}
    assert up.statuses()["start-guests"] == {"unchanged"}
    assert ran(owner, SLUG, "down").status == "succeeded"
    assert holdings(stack) == before
