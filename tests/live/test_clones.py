"""One golden image and its clones on three hosts, from the first up to the last down.

The shared script runs once, in a guest that nobody sees afterwards; what it left is in
every clone, and everything that makes a machine itself is the clone's own. While they
run nobody can change what they lie over, and nobody makes or copies it twice.
"""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.state.model import GuestState
from tests.live.client import Client
from tests.live.stack import Stack
from tests.live.watch import (
    Guest,
    Ran,
    holdings,
    host_of,
    key_of,
    project,
    ran,
    wait_until_observed,
)

pytestmark = pytest.mark.live
SLUG = "clones"
NAMES = tuple(f"node-{number}" for number in range(4))
OTHER_SLUG = "borrowed"
REMOTE = ("host-b", "host-c")
# A bridge on each host, and two clones of one pushed image on a remote one.
BRIDGES = ("br0", "br1", "br2", "br1")
NODE = """\
machines:
  - name: {name}
    libvirt:
      cpus: 1
      memory_mb: 128
      libvirt_type: {{cloud_image: {{name: test_guest}}}}
      scaling:
        count: {count}
        shared_setup: shared.sh
        interfaces:
"""
SCRIPTS = """\
        clone_setup:
          - {script: first.sh, clones: [0]}
          - {script: other.sh, clones: [1, 2, 3]}
"""
NETWORK = """\
network:
  bridges: [{name: br0}, {name: br1}, {name: br2}]
  bridge_connections: {br1: br0, br2: br0}
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


def yaml(name: str, *bridges: str, scripts: str = "") -> str:
    """Write a machine with a clone on each of the bridges."""
    cards = (f"{{bridge: {b}, clones: [{n}]}}" for n, b in enumerate(bridges))
    lines = "".join(f"          - {card}\n" for card in cards)
    return NODE.format(name=name, count=len(bridges)) + lines + scripts + NETWORK


@pytest.fixture(scope="module", autouse=True)
def _third_host(stack: Stack) -> Iterator[None]:
    with stack.third_host():
        yield


@pytest.fixture(scope="module", name="before")
def _before(stack: Stack) -> dict[str, set[str]]:
    return holdings(stack)


@pytest.fixture(scope="module", name="first_up")
def _first_up(
    stack: Stack, owner: Client, before: dict[str, set[str]], tmp_path_factory
) -> Ran:
    folder = tmp_path_factory.mktemp("clones")
    text = yaml("node", *BRIDGES, scripts=SCRIPTS)
    (folder / "kvm-compose.yaml").write_text(text)
    (folder / "shared.sh").write_text(SHARED)
    for word in ("first", "other"):
        (folder / f"{word}.sh").write_text(CLONE.format(word=word))
    owner.create_testbed(SLUG, folder)
    return ran(owner, SLUG, "up")


def test_clones_come_up_on_three_hosts(stack, first_up):
    assert first_up.status == "succeeded", first_up.words

    hosts = ("main", *REMOTE, REMOTE[0])
    places = zip(NAMES, hosts, strict=True)
    wait_until_observed(stack, SLUG, **{n: f"running on {host}" for n, host in places})
    assert first_up.statuses()["prepare-goldens"] == {"done"}
    pushed = {name: r["status"] for name, r in first_up.of("push-goldens").items()}
    assert pushed == {f"golden image node to {host}": "done" for host in REMOTE}


def test_each_clone_is_itself_and_has_what_is_shared(stack, first_up):
    guests = {name: Guest(stack, SLUG, name) for name in NAMES}

    told = {name: looked(guest) for name, guest in guests.items()}

    own = {name: f"{key_of(stack, SLUG)}-{name}" for name in (*NAMES, "node")}
    assert [told[name]["hostname"] for name in NAMES] == [own[n] for n in NAMES]
    assert {t["shared"] for t in told.values()} == {f"prepared by {own['node']}"}
    assert len({t["prepared"] for t in told.values()}) == 1
    assert [told[name]["cloned"] for name in NAMES] == [
        f"first {own[NAMES[0]]}",
        *(f"other {own[name]}" for name in NAMES[1:]),
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


def test_golden_image_is_open_for_reading_only_and_stays_roots(stack, first_up):
    for host in ("main", *REMOTE):
        assert stored(stack, host).startswith("root 444 "), host

    # What the golden image's own guest was started over.
    base = project(stack, SLUG).read_state().goldens[0].guest.image.path
    assert stack.main.run("stat", "-c", "%U %a", base).strip() == "root 444"
    for guest in project(stack, SLUG).read_state().guests:
        is_read_only = block_nodes(stack, guest)
        assert is_read_only[guest.image.path], guest.name
        assert not is_read_only[guest.disk], guest.name


def test_up_again_prepares_and_touches_nothing(stack, owner, first_up):
    boots = {name: Guest(stack, SLUG, name).boot for name in NAMES}

    again = ran(owner, SLUG, "up")

    assert again.status == "succeeded", again.words
    for kind in ("prepare-goldens", "push-goldens", "create-clones", "start-guests"):
        assert again.statuses()[kind] == {"unchanged"}, kind
    assert {name: Guest(stack, SLUG, name).boot for name in NAMES} == boots


@pytest.mark.slow
def test_another_testbed_of_the_owner_uses_the_image_and_cannot_change_it(
    stack, owner, first_up, tmp_path
):
    before = {host: stored(stack, host) for host in ("main", *REMOTE)}
    (tmp_path / "kvm-compose.yaml").write_text(yaml("mine", "br1"))
    (tmp_path / "shared.sh").write_text(SHARED)
    owner.create_testbed(OTHER_SLUG, tmp_path)

    up = ran(owner, OTHER_SLUG, "up")

    assert up.status == "succeeded", up.words
    assert up.statuses()["prepare-goldens"] == {"unchanged"}
    assert set(up.of("push-goldens")) == {f"golden image mine to {REMOTE[0]}"}
    assert up.statuses()["push-goldens"] == {"unchanged"}
    guest = Guest(stack, OTHER_SLUG, "mine-0")
    assert guest.run("cat /etc/shared; hostname").split() == [
        *("prepared", "by", f"{key_of(stack, SLUG)}-node"),
        f"{key_of(stack, OTHER_SLUG)}-mine-0",
    ]
    boot = Guest(stack, SLUG, NAMES[2]).boot

    cleared = ran(owner, OTHER_SLUG, "clear-artefacts")

    assert cleared.status == "succeeded", cleared.words
    owner.server.delete(owner.path(OTHER_SLUG))
    assert {host: stored(stack, host) for host in before} == before
    assert Guest(stack, SLUG, NAMES[2]).boot == boot


def test_golden_image_is_used_again_after_down(stack, owner, first_up, before):
    kept = stored(stack, "main")

    down = ran(owner, SLUG, "down")

    assert down.status == "succeeded", down.words
    assert holdings(stack) == before
    assert stored(stack, "main") == kept


UNUSED = "golden-0123456789abcdef.qcow2"
ORPHANS = "golden-fedcba9876543210.qcow2"
PLACE = """\
cd "$1" && for name in $2 $3; do
  truncate -s 1M "$name" && if [ -d .store ]; then ln "$name" ".store/sha256-$name"; fi
done
"""
GHOST = "/var/lib/testbed/projects/ghost/artefacts"


def test_pruning_deletes_what_nobody_uses_on_any_host(stack, first_up):
    kept = {host: stored(stack, host) for host in ("main", *REMOTE)}
    folders = {host: image_folder(stack, host) for host in kept}
    for host, folder in folders.items():
        words = ("sh", "-c", PLACE, "sh", folder, UNUSED, ORPHANS)
        host_of(stack, host).run(*words)
    remote = host_of(stack, REMOTE[0])
    remote.run("mkdir", "-p", GHOST)
    over = ("-u", "-F", "qcow2", "-b", f"{folders[REMOTE[0]]}/{ORPHANS}")
    disk = (f"{GHOST}/web-disk.qcow2", "1M")
    remote.run("qemu-img", "create", "-q", "-f", "qcow2", *over, *disk)

    try:
        said = stack.manage("prune_images", "--yes")
    finally:
        remote.run("rm", "-r", "/var/lib/testbed/projects/ghost")

    there = {host: images_of(stack, host, folder) for host, folder in folders.items()}
    # A disk that is nobody's keeps its image where it is, and main's.
    keepers = {"main", REMOTE[0]}
    assert {host for host, names in there.items() if ORPHANS in names} == keepers, said
    assert not any(UNUSED in name for names in there.values() for name in names), said
    assert {host: stored(stack, host) for host in kept} == kept
    for host in keepers:
        path = f"{folders[host]}/{ORPHANS}"
        blob = f"{folders[host]}/.store/sha256-{ORPHANS}"
        host_of(stack, host).run("rm", "-f", path, blob)


def image_folder(stack: Stack, host: str) -> str:
    """A host's folder of images."""
    return project(stack, SLUG).read_state().host(host).images_dir


def images_of(stack: Stack, host: str, folder: str) -> set[str]:
    """Names and contents in a host's store, without locks."""
    listed = host_of(stack, host).run("find", folder, "-type", "f").splitlines()
    return {Path(path).name for path in listed if not path.endswith(".lock")}


def block_nodes(stack: Stack, guest: GuestState) -> dict[str, bool]:
    """Each disk image that a guest's QEMU has open, and whether for reading only."""
    ask = (
        "qemu-monitor-command",
        guest.domain,
        '{"execute":"query-named-block-nodes"}',
    )
    answer = json.loads(host_of(stack, guest.host).run("virsh", *ask))
    nodes = (node for node in answer["return"] if node["drv"] == "qcow2")
    return {node["file"]: node["ro"] for node in nodes}


def stored(stack: Stack, host: str) -> str:
    """How the golden image lies in a host's store: whose, its rights, which content."""
    state = project(stack, SLUG).read_state()
    path = next(g.image.path for g in state.guests if g.host == host)
    return host_of(stack, host).run("stat", "-c", "%U %a %i %s %y", path)


def looked(guest: Guest) -> dict[str, str]:
    """A clone's answers about itself."""
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
