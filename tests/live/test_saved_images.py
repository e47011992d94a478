"""A guest's disk becomes an image on main, and guests of another testbed are made from it.

One guest is on each host. Whether an image is whole is seen in the guests that are made
from it, on the other host each.
"""

import json
from collections.abc import Iterator

import pytest

from testbed.client.api import Client, Frame, Refused
from tests.live.faults import kill_worker, start_worker
from tests.live.rows import rows
from tests.live.stack import Stack
from tests.live.watch import (
    DATA,
    Guest,
    Ran,
    cancel,
    condition,
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


def saved(client: Client, guest: str, name: str) -> Ran:
    run = Ran(client.save_image(SLUG, guest, name, shut_down=True))
    client.drive(run.started, run.frames.append)
    return run


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
    run = Ran(owner.save_image(SLUG, AWAY, "never", shut_down=True))

    def take(frame: Frame) -> None:
        run.frames.append(frame)
        if run.is_at(frame, "save-images", "task-started"):
            cancel(owner, run.started.number)

    owner.drive(run.started, take)

    assert run.status == "cancelled", run.words
    assert owner.images() == []
    assert files_on(stack) == before
    start = Ran(owner.power(SLUG, "power-on", AWAY))
    owner.drive(start.started, start.frames.append)
    assert domstate(stack, AWAY) == "running"
    wait_until_observed(stack, SLUG, away="running on host-b")


def test_killed_worker_leaves_no_image(stack: Stack, owner: Client):
    run = Ran(owner.save_image(SLUG, NEAR, "lost", shut_down=True))

    def take(frame: Frame) -> None:
        run.frames.append(frame)
        if run.is_at(frame, "save-images", "task-started"):
            kill_worker(stack)
            start_worker(stack)

    owner.drive(run.started, take)

    # Its programs die with it, which it may still report.
    assert run.status in ("interrupted", "failed"), run.words
    assert owner.images() == []
    start = Ran(owner.power(SLUG, "power-on", NEAR))
    owner.drive(start.started, start.frames.append)
    wait_until_observed(stack, SLUG, near="running on main")


def test_guests_made_from_images_have_the_files_and_keys(
    stack: Stack, owner: Client, other: Client
):
    for name in (NEAR, AWAY):
        run = saved(owner, name, f"image-{name}")
        assert run.status == "succeeded", run.words
        assert "sha256 " in run.of("save-images")[name]["message"]
        assert domstate(stack, name) == "running"
    folder = stack.folder / COPY
    folder.mkdir()
    yaml = (DATA / "line" / "kvm-compose.yaml").read_text()
    # Each is made on the other host than the one that it was saved on.
    yaml = yaml.replace("test_guest", "image-away", 1).replace(
        "test_guest", "image-near", 1
    )
    (folder / "kvm-compose.yaml").write_text(yaml)
    owner.create_testbed(COPY, folder)

    up = ran(owner, COPY, "up")

    assert up.status == "succeeded", up.words
    near, away = Guest(stack, COPY, NEAR), Guest(stack, COPY, AWAY)
    assert near.run("cat /root/file") == "of away"
    assert away.run("cat /root/file") == "of near"
    # As docs/images.md says: it was not removed before.
    assert host_key(stack, COPY, NEAR) == host_key(stack, SLUG, AWAY)
    disk = project(stack, COPY).read_state().guest(AWAY).disk
    words = ("qemu-img", "info", "-U", "--backing-chain", "--output=json", disk)
    chain = json.loads(stack.other.run(*words))
    assert [one["format"] for one in chain] == ["qcow2", "qcow2"]
    other.create_testbed("strange", folder)
    with pytest.raises(Refused, match="has 2 errors"):
        ran(other, "strange", "up")
    with pytest.raises(Refused, match="it is used by made"):
        owner.delete_image(owner.images()[0]["id"])
    assert ran(owner, COPY, "down").status == "succeeded"
    assert condition(stack, COPY) == "down"
    ((count,),) = rows(stack, "SELECT count(*) FROM testbed_savedimage WHERE sha256=''")
    assert count == 0
    wait_until(lambda: len(owner.images()) == 2, "the images are not listed")


def host_key(stack: Stack, slug: str, name: str) -> str:
    public = project(stack, slug).artefacts / f"{name}-host-key.pub"
    return public.read_text().split()[1]
