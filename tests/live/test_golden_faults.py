"""Golden images under faults, of copied disks, shared, and with more and fewer clones.

Each preparation has a script of its own, so that no test finds another one's image.
"""

import json
import shutil
import signal
from hashlib import sha256
from pathlib import Path

import pytest

from tests.live.client import Client
from tests.live.stack import Stack, images
from tests.live.watch import (
    Guest,
    Ran,
    cancel,
    holdings,
    host_of,
    project,
    ran,
    wait_until,
    wait_until_observed,
)

pytestmark = [pytest.mark.live, pytest.mark.slow]
YAML = """\
machines:
  - name: node
    libvirt:
      cpus: 1
      memory_mb: 128
      libvirt_type: {{cloud_image: {{name: test_guest}}}}
      scaling:
        count: {count}
        shared_setup: shared.sh
        interfaces: [{{bridge: br0, clones: {clones}}}]
network:
  bridges: [{{name: br0}}]
  external_bridge: br0
"""
COPIED = """\
machines:
  - name: node
    libvirt:
      cpus: 1
      memory_mb: 128
      libvirt_type: {existing_disk: {path: own.qcow2, create_deep_copy: DEEP}}
      scaling:
        count: 2
        interfaces: [{bridge: br0, clones: [0]}, {bridge: br1, clones: [1]}]
network:
  bridges: [{name: br0}, {name: br1}]
  bridge_connections: {br1: br0}
  external_bridge: br0
"""
HANGS = "echo begun {word}\nsleep 600\n"
ENDS = "echo {word} > /etc/shared\n"
# So much that storing it takes long enough to be struck.
LARGE = ENDS + "dd if=/dev/zero bs=1M count=120 | tr '\\0' x > /var/large\nsync\n"


def write(folder: Path, script: str, *, count: int = 1) -> Path:
    folder.mkdir(exist_ok=True)
    text = YAML.format(count=count, clones=list(range(count)))
    (folder / "kvm-compose.yaml").write_text(text)
    (folder / "shared.sh").write_text(script)
    return folder


def image(stack: Stack, slug: str) -> Path:
    return Path(project(stack, slug).read_state().goldens[0].image.path)


def when_begun(word: str, act):
    """Act once, as soon as the shared script says that it has begun."""
    done = []

    def look(run: Ran, frame) -> None:
        if frame.get("text") == f"begun {word}" and not done:
            done.append(frame)
            act(run)

    return look


def test_cancelled_preparation_leaves_nothing_and_up_makes_it(
    stack: Stack, owner: Client, tmp_path: Path
):
    before = holdings(stack)
    owner.create_testbed("stopped", write(tmp_path, HANGS.format(word="stopped")))

    over = ran(
        owner,
        "stopped",
        "up",
        when_begun("stopped", lambda run: cancel(owner, run.started.number)),
    )

    assert over.status == "cancelled", over.words
    assert "could not be confirmed" not in over.words
    state = project(stack, "stopped").read_state()
    assert f"domain {state.goldens[0].guest.domain}" not in holdings(stack)["main"]
    assert not Path(state.goldens[0].guest.disk).exists()
    assert (
        list(image(stack, "stopped").parent.glob(f"{image(stack, 'stopped').name}*"))
        == []
    )

    owner.update_files("stopped", write(tmp_path, ENDS.format(word="stopped")))
    up = ran(owner, "stopped", "up")
    assert up.status == "succeeded", up.words
    assert Guest(stack, "stopped", "node-0").run("cat /etc/shared") == "stopped"
    assert ran(owner, "stopped", "down").status == "succeeded"
    assert holdings(stack) == before


def test_killed_worker_leaves_no_image_and_up_begins_anew(
    stack: Stack, owner: Client, tmp_path: Path
):
    before = holdings(stack)
    owner.create_testbed("killed", write(tmp_path, HANGS.format(word="killed")))

    def kill(run: Ran) -> None:
        stack.stop("worker", with_signal=signal.SIGKILL)
        stack.start_worker()

    over = ran(owner, "killed", "up", when_begun("killed", kill))

    assert over.status == "interrupted", over.words
    assert not image(stack, "killed").exists()

    owner.update_files("killed", write(tmp_path, ENDS.format(word="killed")))
    up = ran(owner, "killed", "up")
    assert up.status == "succeeded", up.words
    assert "node: powered off" in up.log
    assert Guest(stack, "killed", "node-0").run("cat /etc/shared") == "killed"
    assert ran(owner, "killed", "down").status == "succeeded"
    assert holdings(stack) == before


def test_worker_killed_while_the_image_is_stored_leaves_none(
    stack: Stack, owner: Client, tmp_path: Path
):
    before = holdings(stack)
    owner.create_testbed("stored", write(tmp_path, LARGE.format(word="stored")))
    seen = []

    def kill(run: Ran, frame) -> None:
        if frame.get("text") == "shuts down" and not seen:
            target = image(stack, "stored")
            part = Path(f"{target}.new.part")
            wait_until(part.exists, "the image is not being stored", pause_s=0.01)
            stack.stop("worker", with_signal=signal.SIGKILL)
            seen.append(target.exists())
            stack.start_worker()

    over = ran(owner, "stored", "up", kill)

    assert over.status == "interrupted", over.words
    assert seen == [False]
    assert not image(stack, "stored").exists()

    up = ran(owner, "stored", "up")
    assert up.status == "succeeded", up.words
    assert up.statuses()["prepare-goldens"] == {"done"}
    assert Guest(stack, "stored", "node-0").run("cat /etc/shared") == "stored"
    target = image(stack, "stored")
    assert not list(target.parent.glob(f"{target.name}.new*"))
    assert ran(owner, "stored", "down").status == "succeeded"
    assert holdings(stack) == before


@pytest.mark.parametrize("deep", ["true", "false"])
def test_clones_of_a_disk_of_the_user_share_it_and_leave_the_original(
    stack: Stack, owner: Client, tmp_path: Path, deep: str
):
    slug = f"copied-{deep}"
    before = holdings(stack)
    disk = tmp_path / "own.qcow2"
    entry = json.loads((images() / "test_guest.json").read_text())
    shutil.copy(images() / entry["path"], disk)
    (tmp_path / "kvm-compose.yaml").write_text(COPIED.replace("DEEP", deep))
    owner.create_testbed(slug, tmp_path)

    up = ran(owner, slug, "up")

    assert up.status == "succeeded", up.words
    assert ("prepare-goldens" in up.statuses()) == (deep == "true")
    assert up.statuses()["push-goldens"] == {"done"}
    where = {"node-0": "running on main", "node-1": "running on host-b"}
    wait_until_observed(stack, slug, **where)
    for guest in project(stack, slug).read_state().guests:
        words = ("qemu-img", "info", "--force-share", "--output=json", guest.disk)
        facts = json.loads(host_of(stack, guest.host).run(*words))
        assert facts["backing-filename"] == guest.image.path
    original = project(stack, slug).files / "own.qcow2"
    assert sha256(original.read_bytes()).hexdigest() == entry["sha256"]
    assert ran(owner, slug, "down").status == "succeeded"
    assert holdings(stack) == before


def test_count_and_a_second_testbed_use_the_same_image(
    stack: Stack, owner: Client, other: Client, tmp_path: Path
):
    before = holdings(stack)
    script = ENDS.format(word="grown")
    owner.create_testbed("grown", write(tmp_path / "one", script))
    first = ran(owner, "grown", "up")
    assert first.status == "succeeded", first.words
    boot = Guest(stack, "grown", "node-0").boot

    owner.update_files("grown", write(tmp_path / "one", script, count=3))
    more = ran(owner, "grown", "up")
    assert more.status == "succeeded", more.words
    assert more.statuses()["prepare-goldens"] == {"unchanged"}
    created = {name: r["status"] for name, r in more.of("create-clones").items()}
    assert created == {"node-0": "unchanged", "node-1": "done", "node-2": "done"}

    owner.update_files("grown", write(tmp_path / "one", script, count=1))
    fewer = ran(owner, "grown", "up")
    assert fewer.status == "succeeded", fewer.words
    assert set(fewer.of("stop-guests")) == {"node-1", "node-2"}
    assert Guest(stack, "grown", "node-0").boot == boot

    other.create_testbed("borrowed", write(tmp_path / "two", script))
    second = ran(other, "borrowed", "up")
    assert second.status == "succeeded", second.words
    assert second.statuses()["prepare-goldens"] == {"unchanged"}
    assert image(stack, "borrowed") == image(stack, "grown")
    keys = Guest(stack, "borrowed", "node-0").run(
        "cat /home/nocloud/.ssh/authorized_keys"
    )
    assert keys == project(stack, "borrowed").read_state().public_key
    for client, slug in ((owner, "grown"), (other, "borrowed")):
        assert ran(client, slug, "down").status == "succeeded"
    assert holdings(stack) == before
