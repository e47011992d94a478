"""Guests' disks become images on main, and the guests of a copy are made from them.

One guest is on each host. A run that is cancelled or loses its worker leaves nothing.
"""

import json
from collections.abc import Iterator

import pytest

from testbed.client.rest.problems import ServerProblem
from testbed.client.watching import Frame
from tests.live.client import Client
from tests.live.faults import kill_worker, start_worker
from tests.live.stack import Stack
from tests.live.watch import (
    DATA,
    Guest,
    Ran,
    cancel,
    project,
    ran,
    wait_until,
    wait_until_observed,
)

pytestmark = pytest.mark.live
SLUG, COPY = "origin", "made"
NEAR, AWAY = "near", "away"


@pytest.fixture(scope="module", autouse=True)
def _origin(stack: Stack, owner: Client) -> Iterator[None]:
    """Have a testbed with a file in each guest up."""
    owner.create_testbed(SLUG, DATA / "line")
    up = ran(owner, SLUG, "up")
    assert up.status == "succeeded", up.words
    for name in (NEAR, AWAY):
        Guest(stack, SLUG, name).run(f"echo of {name} > /root/file; sync")
    wait_until_observed(stack, SLUG, near="running on main", away="running on host-b")
    yield
    assert ran(owner, SLUG, "down").status == "succeeded"


def images(client: Client) -> list[Frame]:
    """Return the saved images."""
    return list(client.server.pages("/images"))


def files_on(stack: Stack) -> dict[str, set[str]]:
    """Return the copies of disks, and parts of such, on each host."""
    state, found = project(stack, SLUG).read_state(), {}
    for name, host in (("main", stack.main), ("host-b", stack.other)):
        folder = state.host(name).images_dir
        names = host.run("sh", "-c", f"ls {folder} 2>/dev/null || true")
        found[name] = {one for one in names.split() if one.startswith("own-")}
    return found


def domstate(stack: Stack, name: str) -> str:
    guest = project(stack, SLUG).read_state().guest(name)
    host = stack.main if guest.host == "main" else stack.other
    return host.run("virsh", "domstate", guest.domain).strip()


def test_cancel_leaves_no_image_and_no_file(stack: Stack, owner: Client):
    before = files_on(stack)
    run = Ran(owner.ask(SLUG, "images", guest=AWAY, name="never", shut_down=True))

    def take(frame: Frame) -> None:
        run.frames.append(frame)
        if run.is_at(frame, "save-images", "task-started"):
            cancel(owner, run.started.number)

    owner.drive(run.started, take)

    assert run.status == "cancelled", run.words
    assert images(owner) == []
    assert files_on(stack) == before
    start = Ran(owner.ask(SLUG, "power", verb="power-on", selection=AWAY))
    owner.drive(start.started, start.frames.append)
    assert domstate(stack, AWAY) == "running"
    wait_until_observed(stack, SLUG, away="running on host-b")


def test_killed_worker_leaves_no_image(stack: Stack, owner: Client):
    before = files_on(stack)
    run = Ran(owner.ask(SLUG, "images", guest=NEAR, name="lost", shut_down=True))

    def take(frame: Frame) -> None:
        run.frames.append(frame)
        if run.is_at(frame, "save-images", "task-started"):
            kill_worker(stack)
            start_worker(stack)

    owner.drive(run.started, take)

    # Its programs die with it, which it may still report.
    assert run.status in ("interrupted", "failed"), run.words
    assert images(owner) == []
    wait_until(lambda: files_on(stack) == before, "parts of the image stay")
    up = Ran(owner.ask(SLUG, "up", mode="up", selection=NEAR))
    owner.drive(up.started, up.frames.append)
    assert up.status == "succeeded", up.words
    wait_until_observed(stack, SLUG, near="running on main")


def test_copy_with_disks_comes_up_with_the_files_as_other_guests(
    stack: Stack, owner: Client, other: Client
):
    # The test guest's; others have theirs in /etc/ssh. The other guest keeps its own.
    Guest(stack, SLUG, NEAR).run("rm -f /etc/dropbear/ed25519*; sync")
    before = files_on(stack)
    run = Ran(owner.ask(SLUG, "copies", name=COPY, disks=True))
    owner.drive(run.started, run.frames.append)
    assert run.status == "succeeded", run.words
    for name, result in run.of("save-images").items():
        assert "sha256 " in result["message"]
        assert domstate(stack, name) == "running"
    assert {one["name"] for one in images(owner)} == {
        "made-near",
        "made-away",
    }
    found = files_on(stack)
    assert len(found["main"] - before["main"]) == 4  # with their stamps
    assert found["host-b"] == before["host-b"]
    folder = stack.folder / "strange"
    folder.mkdir()
    yaml = project(stack, COPY).yaml.read_text()
    assert yaml.startswith("# One guest on each of two hosts;")
    (folder / "kvm-compose.yaml").write_text(yaml)

    up = ran(owner, COPY, "up")

    assert up.status == "succeeded", up.words
    for name in (NEAR, AWAY):
        made = Guest(stack, COPY, name)
        assert made.run("cat /root/file") == f"of {name}"
    keys = {name: host_key(stack, COPY, name) for name in (NEAR, AWAY)}
    assert keys[NEAR] != host_key(stack, SLUG, NEAR)
    assert keys[AWAY] == host_key(stack, SLUG, AWAY)
    disk = project(stack, COPY).read_state().guest(AWAY).disk
    words = ("qemu-img", "info", "-U", "--backing-chain", "--output=json", disk)
    chain = json.loads(stack.other.run(*words))
    assert [one["format"] for one in chain] == ["qcow2", "qcow2"]
    other.create_testbed("strange", folder)
    with pytest.raises(ServerProblem, match="has 2 errors"):
        ran(other, "strange", "up")
    with pytest.raises(ServerProblem, match="it is used by made"):
        owner.server.delete(f"/images/{images(owner)[0]['id']}")
    assert ran(owner, COPY, "down").status == "succeeded"


def host_key(stack: Stack, slug: str, name: str) -> str:
    public = project(stack, slug).artefacts / f"{name}-host-key.pub"
    return public.read_text().split()[1]
