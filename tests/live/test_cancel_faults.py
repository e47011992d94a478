"""Cancel while something else is broken: what the run started ends all the same.

One guest on the second host runs a script that knows every escape. Each test breaks
something under it; at the end nothing of the script is left in the guest.
"""

import signal
from collections.abc import Iterator

import pytest

from testbed.client.watching import frames, send
from tests.live.client import Client
from tests.live.faults import FAULTS
from tests.live.rows import rows
from tests.live.stack import Stack
from tests.live.watch import (
    DATA,
    Guest,
    Ran,
    cancel,
    followed,
    holdings,
    ran,
    wait_until,
)

pytestmark = [pytest.mark.live, pytest.mark.slow]
SLUG = "escapes"
SLEEPERS = "ps -o args | grep '^sleep 600' || true"


@pytest.fixture(scope="module", autouse=True)
def _testbed(stack: Stack, owner: Client) -> Iterator[None]:
    before = holdings(stack)
    owner.create_testbed(SLUG, DATA / "far")
    assert ran(owner, SLUG, "up").status == "succeeded"
    owner.update_files(SLUG, DATA / "stubborn")
    yield
    owner.update_files(SLUG, DATA / "far")
    up = ran(owner, SLUG, "up")
    assert up.status == "succeeded", up.words
    assert up.statuses()["start-guests"] == {"unchanged"}
    assert ran(owner, SLUG, "down").status == "succeeded"
    assert holdings(stack) == before


def sleepers(stack: Stack) -> int:
    return Guest(stack, SLUG, "far").run(SLEEPERS).count("sleep 600")


def asleep(client: Client) -> Ran:
    """Drive a run until its script has started everything, and go away."""
    run = Ran(client.start(SLUG, "up"))
    waiting = list(run.started.instructions)
    with client.socket(run.started.number) as socket:
        send(socket, {"type": "subscribe", "after": 0})
        for frame in _led(socket, waiting):
            run.frames.append(frame)
            if frame.get("text") == "all asleep":
                return run
    raise AssertionError("the script did not start")


def _led(socket, waiting):
    """Send one instruction after the other, and pass every frame on."""

    def step():
        if waiting:
            entry = waiting.pop(0)
            send(
                socket,
                {"type": "instruction"} | {k: entry[k] for k in ("index", "kind")},
            )

    step()
    for frame in frames(socket):
        yield frame
        if frame["type"] == "result":
            step()


def request_cancel(stack: Stack, run: Ran) -> None:
    """Save the wish as a page does; needs neither Redis nor the web server."""
    number = run.started.number
    stack.shell(
        "from testbed.runs.cancelling import request_cancel; "
        f"request_cancel({number}, None); request_cancel({number}, None)"
    )


def test_run_whose_driver_is_gone_is_cancelled(stack, owner):
    run = asleep(owner)

    cancel(owner, run.started.number)
    over = followed(owner, run.started)

    assert over.status == "cancelled", over.words
    assert sleepers(stack) == 0


def test_run_is_cancelled_while_redis_is_down(stack, owner):
    run = asleep(owner)
    FAULTS["Redis restarted empty"].strike(stack)
    try:
        request_cancel(stack, run)
        wait_until(lambda: sleepers(stack) == 0, "the script still runs")
    finally:
        FAULTS["Redis restarted empty"].mend(stack)

    over = followed(owner, run.started)

    assert over.status == "cancelled", over.words
    assert "Not confirmed" not in over.words


def test_run_is_cancelled_while_its_worker_is_frozen(stack, owner):
    run = asleep(owner)
    FAULTS["pool process frozen"].strike(stack)

    cancel(owner, run.started.number)
    over = followed(owner, run.started)

    assert over.status == "cancelled", over.words
    assert sleepers(stack) == 0


def test_lost_worker_leaves_nothing_in_the_guest(stack, owner):
    run = asleep(owner)
    wait_until(lambda: sleepers(stack) == 10, "not all of it sleeps")

    stack.stop("worker", with_signal=signal.SIGKILL)
    stack.start_worker()
    over = followed(owner, run.started)

    assert over.status == "interrupted", over.words
    assert sleepers(stack) == 0
    assert "Not confirmed" not in over.words


def test_unconfirmed_processes_are_listed_and_ended_when_they_can_be(stack, owner):
    run = asleep(owner)
    stack.other.cut()
    try:
        request_cancel(stack, run)
        over = followed(owner, run.started)
        left = leftovers(stack, run)
    finally:
        stack.other.mend()

    assert over.status == "cancelled", over.words
    assert "Not confirmed as ended: what may run on far, host-b." in over.words
    assert '"pid": 0' in left
    assert "far" in owner.pages.read(f"/runs/{run.started.number}/")
    wait_until(lambda: leftovers(stack, run) == "[]", "the sweeper does not confirm")
    assert sleepers(stack) == 0
    page = owner.pages.read(f"/runs/{run.started.number}/")
    assert "Asked again: No process that carries the mark" in page


def leftovers(stack: Stack, run: Ran) -> str:
    query = "SELECT leftovers FROM testbed_run WHERE id = ?"
    return str(rows(stack, query, run.started.number)[0][0])
