"""A real worker whose beat is killed or stopped: it comes back, or the pages say so."""

import os
import signal
from pathlib import Path

import pytest

from tests.live.stack import Stack
from tests.waiting import wait_until

pytestmark = pytest.mark.live


@pytest.fixture(name="lab")
def _lab(rehearsal: Stack) -> Stack:
    return rehearsal


def beat(lab: Stack) -> int:
    """Return the pid of the worker's child to which it sends no tasks; 0 without one."""
    worker = lab.processes["worker"].pid
    children = Path(f"/proc/{worker}/task/{worker}/children").read_text().split()
    return next((int(pid) for pid in children if _has_no_pipes(pid)), 0)


def _has_no_pipes(pid: str) -> bool:
    """Return whether a process lives, and has no pipes, which those of the pool have."""
    folder = Path(f"/proc/{pid}/fd")
    try:
        opened = {int(entry.name): str(entry.readlink()) for entry in folder.iterdir()}
    except FileNotFoundError:  # it ended meanwhile
        return False
    pipes = (fd for fd, place in opened.items() if place.startswith("pipe:"))
    return bool(opened) and max(pipes, default=0) <= 2


def hosts_page(lab: Stack) -> str:
    olive = lab.client("olive")
    try:
        return olive.pages.read("/hosts/")
    finally:
        olive.close()


def is_updated(lab: Stack) -> bool:
    return "updated just now" in hosts_page(lab)


@pytest.mark.parametrize("redis", ["as it was", "restarted"])
def test_killed_beat_is_started_again_and_hosts_are_read_on(
    lab: Stack, redis: str
) -> None:
    if redis == "restarted":
        lab.stop("redis")
        lab.start_redis()
    first = wait_until(lambda: beat(lab), "the worker has no beat")
    worker = lab.processes["worker"].pid

    os.kill(first, signal.SIGKILL)

    wait_until(lambda: beat(lab) not in (0, first), "no new beat was started")
    assert f"Celery's beat (process {first}) ended" in lab.log("worker")
    begun = lab.log("worker").count("Scheduler: Sending due task sweep")
    wait_until(
        lambda: lab.log("worker").count("Sending due task sweep") > begun + 1,
        "the new beat sends nothing",
    )
    wait_until(lambda: is_updated(lab), "no host is read")
    assert lab.processes["worker"].pid == worker
    assert lab.processes["worker"].poll() is None


def test_pages_say_that_a_stopped_beat_lets_nobody_read_the_hosts(lab: Stack) -> None:
    stopped = wait_until(lambda: beat(lab), "the worker has no beat")
    os.kill(stopped, signal.SIGSTOP)
    try:
        wait_until(
            lambda: "no worker has read the hosts since" in hosts_page(lab),
            "the page does not say it",
        )
    finally:
        os.kill(stopped, signal.SIGCONT)

    wait_until(lambda: is_updated(lab), "no host is read")
