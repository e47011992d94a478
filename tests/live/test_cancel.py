"""Cancel: whatever runs, it stops, it is proven, and `up` goes on from there.

The guest is on the remote host, so that its script is reached through that host. The
tests share one testbed and follow each other; the guest boots once.
"""

import os
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from pathlib import Path

import pytest

from testbed.client.watching import frames, send
from tests.live.client import Client
from tests.live.stack import NamespaceHost, Stack
from tests.live.watch import (
    DATA,
    Guest,
    cancel,
    condition,
    followed,
    holdings,
    key_of,
    project,
    ran,
    wait_until,
    wait_until_observed,
)

pytestmark = pytest.mark.live
SLUG = "stubborn"
SLEEPERS = "ps -o args | grep '^sleep 600' || true"


@pytest.fixture(scope="module", autouse=True)
def _testbed(stack: Stack, owner: Client):
    before = holdings(stack)
    owner.create_testbed(SLUG, DATA / "far")
    owner.update_files(SLUG, DATA / "stubborn")
    yield
    if condition(stack, SLUG) != "draft":  # one of the tests alone may leave it so
        assert ran(owner, SLUG, "down").status == "succeeded"
    assert holdings(stack) == before


def test_run_of_which_nothing_runs_is_cancelled_at_once(stack, owner):
    started = owner.start(SLUG, "up")

    cancel(owner, started.number)
    over = followed(owner, started)

    assert over.status == "cancelled"
    assert "Cancelled by owner. The set-up of guests had not begun." in over.words
    assert over.statuses() == {}
    assert condition(stack, SLUG) == "draft"


def test_waiting_for_a_booting_guest_is_cancelled(stack, owner):
    def act(run, frame):
        if run.is_at(frame, "set-up-guests", "task-started"):
            cancel(owner, run.started.number)

    over = ran(owner, SLUG, "up", act)

    assert over.status == "cancelled", over.words
    assert over.statuses()["start-guests"] == {"done"}
    assert over.statuses()["set-up-guests"] == {"cancelled"}
    assert "Resume Up" in over.words
    assert "Not confirmed" not in over.words
    assert condition(stack, SLUG) == "partial"
    wait_until_observed(stack, SLUG, far="running on host-b")


def test_script_is_cancelled_with_all_that_it_started(stack, owner):
    seen = []

    def act(run, frame):
        if frame.get("text") == "all asleep":
            far = Guest(stack, SLUG, "far")
            wait_until(
                lambda: far.run(SLEEPERS).count("sleep 600") == 11, "not all sleep"
            )
            seen.append(frame)
            with owner.socket(run.started.number) as window:
                send(window, {"type": "cancel"})
                send(window, {"type": "cancel"})
                assert any(f.get("kind") == "cancel-requested" for f in frames(window))

    over = ran(owner, SLUG, "up", act)

    assert len(seen) == 1
    assert over.status == "cancelled", over.words
    far = Guest(stack, SLUG, "far")
    assert far.run(SLEEPERS) == ""
    assert "Ended on far: " in over.log
    assert "All its processes have ended." in str(over.frames)
    assert sum(f.get("kind") == "cancel-requested" for f in over.frames) == 1
    assert "Not confirmed" not in over.words
    assert condition(stack, SLUG) == "partial"
    markers = project(stack, SLUG).read_state().guest("far").markers
    assert (markers.script, markers.script_exit_code) == ("", None)
    assert "Cancelled by owner" in owner.pages.read(f"/runs/{over.started.number}/")


def test_up_goes_on_after_a_cancel_with_the_mended_script(stack, owner):
    owner.update_files(SLUG, DATA / "far")

    over = ran(owner, SLUG, "up")

    assert over.status == "succeeded", over.words
    assert over.statuses()["create-disks"] == {"unchanged"}
    assert over.statuses()["start-guests"] == {"unchanged"}
    assert f"far: set up on {key_of(stack, SLUG)}-far" in over.log
    mended = sha256((DATA / "far/scripts/setup.sh").read_bytes()).hexdigest()
    markers = project(stack, SLUG).read_state().guest("far").markers
    assert (markers.script, markers.script_exit_code) == (mended, 0)
    assert condition(stack, SLUG) == "up"

    again = ran(owner, SLUG, "up")

    assert again.statuses()["set-up-guests"] == {"unchanged"}


@pytest.mark.slow
def test_server_of_a_script_stays_and_what_a_failed_one_left_does_not(stack, owner):
    owner.update_files(SLUG, DATA / "serving")
    assert ran(owner, SLUG, "up").status == "succeeded"
    owner.update_files(SLUG, DATA / "leaving")

    over = ran(owner, SLUG, "up")

    assert over.status == "failed"
    assert "with exit code 3" in over.words
    assert "Ended on far: sleep 701" in over.log
    left = Guest(stack, SLUG, "far").run("ps -o args | grep '^sleep 70'")
    assert left == "sleep 700"


@contextmanager
def held_copy(host: NamespaceHost) -> Iterator[None]:
    """Stop what writes an arriving image: its copy begins, and does not end."""
    network = Path("/run/netns", host.name).stat().st_ino
    held, over = set(), threading.Event()

    def is_writer(process: Path) -> bool:
        with suppress(OSError):
            words = (process / "cmdline").read_bytes().split(b"\0")
            is_there = (process / "ns/net").stat().st_ino == network
            return words[0] == b"dd" and words[1].endswith(b".part") and is_there
        return False

    def hold() -> None:
        while not over.wait(0.03):
            for process in filter(is_writer, Path("/proc").glob("[0-9]*")):
                held.add(int(process.name))
                with suppress(ProcessLookupError):
                    os.kill(int(process.name), signal.SIGSTOP)

    holding = threading.Thread(target=hold)
    holding.start()
    try:
        yield
    finally:
        over.set()
        holding.join()
        for pid in held:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)


@pytest.mark.slow
def test_copy_of_an_image_is_cancelled_and_leaves_no_part(stack, owner):
    image = stack.folder / "bulky.raw"
    with image.open("wb") as file, open("/dev/urandom", "rb") as source:  # noqa: PTH123
        for _ in range(400):
            file.write(source.read(1 << 20))
    stack.add_image("bulky", image, format="raw")
    owner.create_testbed("bulky", DATA / "bulky")
    copied = []

    def act(run, frame):
        if copied or not run.is_at(frame, "push-images", "task-progressed"):
            return
        told = frame["data"]
        assert (told["note"], told["unit"]) == ("copy", "B")
        assert told["left_s"] is None or told["rate"] > 0
        if told["done"]:
            copied.append(told["done"])
            cancel(owner, run.started.number)

    with held_copy(stack.other):
        over = ran(owner, "bulky", "up", act)

    assert over.status == "cancelled", over.words
    assert 0 < copied[0] < image.stat().st_size
    images = stack.other.run("ls", "-AR", "/var/lib/testbed/images")
    assert "bulky" not in images
    assert ".part" not in images
    assert condition(stack, "bulky") == "partial"
    assert ran(owner, "bulky", "down").status == "succeeded"
    assert condition(stack, "bulky") == "down"
