"""Disks that the user brings: linked, copied, on another host, and an ISO to boot.

The disk is the test guest's image, which boots without a seed, too. It is only looked
at from outside, for nobody has an account in these guests.
"""

import json
import shutil
from hashlib import sha256
from pathlib import Path

import pytest

from tests.live.boot_disc import SENTENCE, write_boot_disc
from tests.live.client import Client
from tests.live.stack import Stack, images
from tests.live.watch import (
    Ran,
    condition,
    holdings,
    host_of,
    project,
    ran,
    wait_until,
    wait_until_observed,
)

pytestmark = pytest.mark.live
SLUG = "own-disks"
# What an overlay takes before its guest has written anything.
FRESH_BYTES = 200 * 1024
YAML = """\
machines:
  - name: linked
    interfaces: [{bridge: br0}]
    libvirt:
      cpus: 1
      memory_mb: 128
      libvirt_type: {existing_disk: {path: disks/own.qcow2}}
  - name: fresh
    interfaces: [{bridge: br0}]
    libvirt:
      cpus: 1
      memory_mb: 64
      libvirt_type: {iso_guest: {path: boot.iso, expand_gigabytes: 1}}
  - name: linked-there
    interfaces: [{bridge: br1}]
    libvirt:
      cpus: 1
      memory_mb: 128
      libvirt_type: {existing_disk: {path: disks/own.qcow2, driver_type: qcow2}}
  - name: copied-there
    interfaces: [{bridge: br1}]
    libvirt:
      cpus: 1
      memory_mb: 128
      libvirt_type: {existing_disk: {path: disks/own.qcow2, create_deep_copy: true}}
network:
  bridges: [{name: br0}, {name: br1}]
  bridge_connections: {br0: br1}
  external_bridge: br0
"""


@pytest.fixture(scope="module", name="before")
def _before(stack: Stack) -> dict[str, set[str]]:
    return holdings(stack)


@pytest.fixture(scope="module", name="first_up")
def _first_up(
    stack: Stack, owner: Client, before: dict[str, set[str]], tmp_path_factory
) -> Ran:
    folder = tmp_path_factory.mktemp("disks")
    (folder / "kvm-compose.yaml").write_text(YAML)
    (folder / "disks").mkdir()
    image = json.loads((images() / "test_guest.json").read_text())["path"]
    shutil.copy(images() / image, folder / "disks/own.qcow2")
    write_boot_disc(folder / "boot.iso")
    owner.create_testbed(SLUG, folder)
    return ran(owner, SLUG, "up")


def test_guests_with_their_own_disks_come_up(stack, first_up):
    assert first_up.status == "succeeded", first_up.words

    wait_until_observed(
        stack,
        SLUG,
        linked="running on main",
        fresh="running on main",
        **{"linked-there": "running on host-b", "copied-there": "running on host-b"},
    )
    assert condition(stack, SLUG) == "up"
    for name in ("linked", "linked-there", "copied-there"):
        wait_until_says(stack, name, "testbed guest ready")


def test_iso_is_booted_before_the_blank_disk(stack, first_up):
    wait_until_says(stack, "fresh", SENTENCE)

    facts = disk_facts(stack, "fresh")
    assert (facts["virtual-size"], facts.get("backing-filename")) == (1024**3, None)


def test_linked_disk_lies_over_a_copy_of_the_original(stack, first_up):
    state = project(stack, SLUG).read_state()
    backings = {
        guest.name: disk_facts(stack, guest.name).get("backing-filename")
        for guest in state.guests
    }

    here, there = (state.guest(name).image.path for name in ("linked", "linked-there"))
    assert backings == {
        "linked": here,
        "linked-there": there,
        "copied-there": None,
        "fresh": None,
    }
    copied = stack.other.run("sha256sum", there).split()[0]
    assert copied == digest(Path(here)) == digest(original(stack))
    assert len(first_up.of("push-images")) == 1


def test_backing_files_of_disks_keep_their_owner(stack, first_up):
    state = project(stack, SLUG).read_state()
    files = [original(stack), project(stack, SLUG).files / "boot.iso"]

    assert {owner_and_mode(stack, "main", str(path)) for path in files} == {"root 600"}
    for name in ("linked", "fresh", "linked-there"):
        guest = state.guest(name)
        copy = guest.image.path
        assert owner_and_mode(stack, guest.host, copy) == "root 444", name
    own = state.guest("linked")
    assert not owner_and_mode(stack, own.host, own.disk).startswith("root")


def test_original_is_the_same_after_everything(stack, owner, first_up, before):
    image = json.loads((images() / "test_guest.json").read_text())

    again = ran(owner, SLUG, "up")
    down = ran(owner, SLUG, "down")

    assert again.status == "succeeded", again.words
    assert again.statuses()["create-disks"] == {"unchanged"}
    assert again.statuses()["start-guests"] == {"unchanged"}
    assert down.status == "succeeded", down.words
    assert holdings(stack) == before
    assert digest(original(stack)) == image["sha256"]
    assert owner_and_mode(stack, "main", str(original(stack))) == "root 600"
    state = project(stack, SLUG).read_state()
    there = state.guest("linked-there").image.path
    assert stack.other.run("sha256sum", there).split()[0] == image["sha256"]
    written = {g.name: disk_facts(stack, g.name)["actual-size"] for g in state.guests}
    assert all(written[name] > FRESH_BYTES for name in ("linked", "linked-there"))


def original(stack: Stack) -> Path:
    return project(stack, SLUG).files / "disks/own.qcow2"


def owner_and_mode(stack: Stack, host: str, path: str) -> str:
    return host_of(stack, host).run("stat", "-c", "%U %a", path).strip()


def digest(path: Path) -> str:
    return sha256(path.read_bytes()).hexdigest()


def disk_facts(stack: Stack, name: str) -> dict[str, object]:
    guest = project(stack, SLUG).read_state().guest(name)
    words = ("qemu-img", "info", "--force-share", "--output=json", guest.disk)
    found: dict[str, object] = json.loads(host_of(stack, guest.host).run(*words))
    return found


def wait_until_says(stack: Stack, name: str, words: str) -> None:
    guest = project(stack, SLUG).read_state().guest(name)
    host = host_of(stack, guest.host)
    wait_until(
        lambda: words in host.run("cat", guest.console), f"{name} does not say {words}"
    )
