"""One golden image and its clones on two hosts, from the first up to the last down.

The shared script runs once, in a guest that nobody sees afterwards; what it left is in
every clone, and everything that makes a machine itself is the clone's own.
"""

import json
from pathlib import Path

import pytest

from testbed.client import Client
from tests.live.stack import Stack
from tests.live.watch import (
    Guest,
    Ran,
    holdings,
    host_of,
    project,
    ran,
    wait_until_observed,
)

pytestmark = pytest.mark.live
SLUG = "clones"
NAMES = ("node-0", "node-1", "node-2")
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
        interfaces:
          - {{bridge: br0, clones: [0]}}
          - {{bridge: br1, clones: {others}}}
        clone_setup:
          - {{script: first.sh, clones: [0]}}
          - {{script: other.sh, clones: {others}}}
network:
  bridges: [{{name: br0}}, {{name: br1}}]
  bridge_connections: {{br1: br0}}
  external_bridge: br0
"""
# What a golden image could hand on, and must not: an identity of its own.
SHARED = """\
set -e
echo "prepared by $(hostname)" > /etc/shared
echo 0123456789abcdef0123456789abcdef > /etc/machine-id
cat /proc/sys/kernel/random/uuid > /etc/prepared-at
"""
CLONE = 'echo "{word} $(hostname)" > /etc/cloned\n'


def yaml(count: int) -> str:
    return YAML.format(count=count, others=list(range(1, count)))


@pytest.fixture(scope="module", name="before")
def _before(stack: Stack) -> dict[str, set[str]]:
    return holdings(stack)


@pytest.fixture(scope="module", name="first_up")
def _first_up(
    stack: Stack, owner: Client, before: dict[str, set[str]], tmp_path_factory
) -> Ran:
    folder = tmp_path_factory.mktemp("clones")
    (folder / "kvm-compose.yaml").write_text(yaml(3))
    (folder / "shared.sh").write_text(SHARED)
    for word in ("first", "other"):
        (folder / f"{word}.sh").write_text(CLONE.format(word=word))
    owner.create_testbed(SLUG, folder)
    return ran(owner, SLUG, "up")


def test_clones_come_up_on_both_hosts(stack, first_up):
    assert first_up.status == "succeeded", first_up.words

    wait_until_observed(
        stack,
        SLUG,
        **{
            "node-0": "running on main",
            "node-1": "running on host-b",
            "node-2": "running on host-b",
        },
    )
    assert first_up.statuses()["prepare-goldens"] == {"done"}
    assert list(first_up.of("push-goldens")) == ["golden image node to host-b"]
    assert first_up.statuses()["push-goldens"] == {"done"}


def test_each_clone_is_itself_and_has_what_is_shared(stack, first_up):
    guests = {name: Guest(stack, SLUG, name) for name in NAMES}

    told = {name: looked(guest) for name, guest in guests.items()}

    assert [told[name]["hostname"] for name in NAMES] == [f"clones-{n}" for n in NAMES]
    assert {t["shared"] for t in told.values()} == {"prepared by clones-node"}
    assert len({t["prepared"] for t in told.values()}) == 1
    assert [told[name]["cloned"] for name in NAMES] == [
        "first clones-node-0",
        "other clones-node-1",
        "other clones-node-2",
    ]
    for key in ("machine-id", "address", "hostkey"):
        assert len({t[key] for t in told.values()}) == len(NAMES), key
    assert all(len(t["machine-id"]) == 32 for t in told.values())
    assert "0123456789abcdef0123456789abcdef" not in {
        t["machine-id"] for t in told.values()
    }
    assert {t["keys"] for t in told.values()} == {"1"}


def test_nothing_of_the_preparation_is_left_but_the_image(stack, first_up):
    state = project(stack, SLUG).read_state()
    (golden,) = state.goldens

    assert not Path(golden.guest.disk).exists()
    assert f"domain {golden.guest.domain}" not in holdings(stack)["main"]
    assert Path(golden.image.path).is_file()
    for guest in state.guests:
        facts = disk_facts(stack, guest.host, guest.disk)
        assert facts["backing-filename"] == guest.image.path
    main = disk_facts(stack, "main", golden.image.path)
    assert "backing-filename" not in main


def test_up_again_prepares_and_touches_nothing(stack, owner, first_up):
    boots = {name: Guest(stack, SLUG, name).boot for name in NAMES}

    again = ran(owner, SLUG, "up")

    assert again.status == "succeeded", again.words
    for kind in ("prepare-goldens", "push-goldens", "create-clones", "start-guests"):
        assert again.statuses()[kind] == {"unchanged"}, kind
    assert {name: Guest(stack, SLUG, name).boot for name in NAMES} == boots


def test_golden_image_is_used_again_after_down(stack, owner, first_up, before):
    state = project(stack, SLUG).read_state()
    image = Path(state.goldens[0].image.path)
    prepared = image.stat().st_mtime_ns

    down = ran(owner, SLUG, "down")

    assert down.status == "succeeded", down.words
    assert holdings(stack) == before
    assert image.stat().st_mtime_ns == prepared


def looked(guest: Guest) -> dict[str, str]:
    """What a clone says of itself."""
    script = """
    echo "hostname=$(hostname)"
    echo "shared=$(cat /etc/shared)"
    echo "prepared=$(cat /etc/prepared-at)"
    echo "cloned=$(cat /etc/cloned)"
    echo "machine-id=$(cat /etc/machine-id)"
    echo "address=$(ip -4 -o address show eth0 | awk '{print $4}')"
    echo "hostkey=$(dropbearkey -y -f /etc/dropbear/ed25519 | grep ^ssh-)"
    echo "keys=$(grep -c . /home/nocloud/.ssh/authorized_keys)"
    """
    lines = guest.run(script).splitlines()
    return dict(line.split("=", 1) for line in lines if "=" in line)


def disk_facts(stack: Stack, host: str, path: str) -> dict[str, object]:
    words = ("qemu-img", "info", "--force-share", "--output=json", path)
    found: dict[str, object] = json.loads(host_of(stack, host).run(*words))
    return found
