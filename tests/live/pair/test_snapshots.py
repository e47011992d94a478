"""Snapshots of real guests: one on main, one behind a Debian 13 host.

Main has libvirt 9.0, where this machine is a Debian 12. A guest's clock, its programs,
its files and its serial log tell whether it went back, and went on.
"""

import time
from collections.abc import Iterator
from html import unescape

import pytest

from testbed.client.watching import Frame
from tests.live.client import Client
from tests.live.faults import kill_worker, start_worker
from tests.live.pair.conftest import SLUG
from tests.live.stack import Stack
from tests.live.watch import Guest, Ran, cancel, project, ran, wait_until

pytestmark = pytest.mark.live
NAMES = ("near", "away")
# A clock is read over SSH, on a busy machine.
CLOCK_S = 20


@pytest.fixture(name="guests")
def _guests(stack: Stack) -> dict[str, Guest]:
    return {name: Guest(stack, SLUG, name) for name in NAMES}


def asked(client: Client, verb: str, guest: str, **wish: object) -> Ran:
    return Ran(client.ask(SLUG, "snapshots", verb=verb, guest=guest, **wish))


def done(client: Client, verb: str, guest: str, **wish: object) -> Ran:
    run = asked(client, verb, guest, **wish)
    client.drive(run.started, run.frames.append)
    assert run.status == "succeeded", run.words
    return run


def domain(stack: Stack, name: str) -> str:
    return project(stack, SLUG).read_state().guest(name).domain


def virsh(stack: Stack, guest: Guest, name: str, verb: str, *words: str) -> str:
    return guest.host.run("virsh", verb, domain(stack, name), *words).strip()


def tree(client: Client, guest: str) -> dict[str, Frame]:
    """Return a guest's snapshots as the page has them, by name."""
    return {one["name"]: one for one in of(client, guest)["snapshots"]}


def of(client: Client, guest: str) -> Frame:
    """Return a guest with its snapshots as the page has them."""
    guests = client.get(SLUG, "snapshots")["guests"]
    (found,) = (one for one in guests if one["guest"] == guest)
    return found


def wait_for_tree(client: Client, guest: str, parents: dict[str, str]) -> None:
    def is_seen() -> bool:
        found = tree(client, guest)
        return {name: one["parent"] for name, one in found.items()} == parents

    wait_until(is_seen, f"the page does not have {parents}")


@pytest.fixture(autouse=True)
def _nothing_left(stack: Stack, guests: dict[str, Guest]) -> Iterator[None]:
    """Let each test begin without snapshots."""
    yield
    for name, guest in guests.items():
        list_roots = ("snapshot-list", domain(stack, name), "--roots", "--name")
        for root in guest.host.run("virsh", *list_roots, check=False).split():
            virsh(stack, guest, name, "snapshot-delete", root, "--children")


@pytest.mark.parametrize("name", NAMES)
def test_guest_goes_back_with_its_programs_its_clock_and_its_log(
    stack: Stack, owner: Client, guests: dict[str, Guest], name: str
):
    guest, state = guests[name], project(stack, SLUG).read_state()
    base_image = state.guest(name).image.path
    image = guest.host.run("stat", "-c", "%s %Y %Z", base_image)
    console = state.guest(name).console
    guest.run("echo keep > /root/file; echo before-snapshot > /dev/ttyS0")
    guest.run("(sleep 98765 </dev/null >/dev/null 2>&1 &)")
    pid, boot = guest.run("pgrep -f 'sleep 98765' | head -n 1"), guest.boot

    taken = done(owner, "create", name, name="base", description="live")
    guest.run("rm /root/file; sync; kill " + pid)
    restored = done(owner, "restore", name, name="base", before="present")

    said = taken.of("create-snapshots")[name]["message"]
    assert "of memory; the guest stood still for at most" in said
    assert restored.of("restore-snapshots")[name]["message"] == "is running"
    assert guest.run("cat /root/file") == "keep"
    assert guest.run(f"tr '\\0' ' ' < /proc/{pid}/cmdline").startswith("sleep 98765")
    assert guest.boot == boot
    assert abs(int(guest.run("date +%s")) - time.time()) < CLOCK_S
    log = guest.host.run("cat", console)
    assert "before-snapshot" in log
    guest.run("echo after-restore > /dev/ttyS0")
    wait_until(
        lambda: "after-restore" in guest.host.run("cat", console),
        "the serial log does not go on",
    )
    assert guest.host.run("stat", "-c", "%s %Y %Z", base_image) == image
    names = virsh(stack, guest, name, "snapshot-list", "--name").split()
    assert sorted(names) == ["base", "present"]
    words = unescape(virsh(stack, guest, name, "snapshot-dumpxml", "base"))
    assert "live" in words
    assert '"by": "owner"' in words
    wait_for_tree(owner, name, {"base": "", "present": "base"})
    base = tree(owner, name)["base"]
    assert (base["by"], base["status"], base["current"]) == ("owner", "running", True)
    assert base["memory_bytes"] > 10 << 20
    check = owner.ask(SLUG, f"guests/{name}/check")
    assert owner.drive(check, lambda frame: None) == "succeeded"


@pytest.mark.parametrize("name", NAMES)
def test_tree_has_branches_and_those_of_virsh(
    stack: Stack, owner: Client, guests: dict[str, Guest], name: str
):
    guest = guests[name]
    done(owner, "create", name, name="base")
    done(owner, "create", name, name="one")
    done(owner, "restore", name, name="base")
    done(owner, "create", name, name="two")
    virsh(stack, guest, name, "snapshot-create-as", "by-virsh")
    wait_for_tree(
        owner, name, {"base": "", "one": "base", "two": "base", "by-virsh": "two"}
    )
    assert tree(owner, name)["by-virsh"]["outside"] is True

    done(owner, "rename", name, name="two", title="Second try")
    done(owner, "rename", name, name="by-virsh", title="Theirs")
    wait_until(
        lambda: tree(owner, name)["by-virsh"]["title"] == "Theirs",
        "the new name is not seen",
    )
    assert tree(owner, name)["two"]["title"] == "Second try"
    assert tree(owner, name)["by-virsh"]["current"] is True
    done(owner, "restore", name, name="one")
    done(owner, "delete", name, name="two")
    wait_for_tree(owner, name, {"base": "", "one": "base", "by-virsh": "base"})
    done(owner, "restore", name, name="by-virsh")
    done(owner, "delete", name, name="base", children=True)
    wait_for_tree(owner, name, {})
    assert guest.run("echo alive") == "alive"


@pytest.mark.parametrize("verb", ["create", "restore"])
def test_guest_runs_on_when_the_worker_is_killed_meanwhile(
    stack: Stack, owner: Client, guests: dict[str, Guest], verb: str
):
    name = "away"
    guest, boot = guests[name], guests[name].boot
    done(owner, "create", name, name="base")
    run = asked(owner, verb, name, name="base" if verb == "restore" else "x")

    def strike(frame: Frame) -> None:
        run.frames.append(frame)
        if run.is_at(frame, f"{verb}-snapshots", "task-started"):
            time.sleep(0.15)  # into libvirt's call, which no event marks
            kill_worker(stack)
            start_worker(stack)

    owner.drive(run.started, strike)

    assert run.status in {"interrupted", "succeeded"}, run.words
    wait_until(
        lambda: virsh(stack, guest, name, "domstate") == "running",
        "the guest does not run on",
    )
    assert guest.boot == boot
    done(owner, "create", name, name="afterwards")


def test_cancelled_run_leaves_a_whole_snapshot_or_none_and_a_running_guest(
    stack: Stack, owner: Client, guests: dict[str, Guest]
):
    name, guest = "near", guests["near"]
    boot = guest.boot
    run = asked(owner, "create", name, name="x")

    def strike(frame: Frame) -> None:
        run.frames.append(frame)
        if run.is_at(frame, "create-snapshots", "task-started"):
            cancel(owner, run.started.number)

    owner.drive(run.started, strike)

    # The cancel may come too late: then the snapshot is there, and the task says so.
    is_taken = run.finished(name)["status"] == "done"
    left = virsh(stack, guest, name, "snapshot-list", "--name")
    assert left == ("x" if is_taken else ""), run.words
    assert virsh(stack, guest, name, "domstate") == "running"
    assert guest.boot == boot


def test_mixed_chain_is_refused_before_anything_happens(
    stack: Stack, owner: Client, guests: dict[str, Guest]
):
    name, guest = "near", guests["near"]
    boot = guest.boot
    done(owner, "create", name, name="base")
    virsh(stack, guest, name, "snapshot-create-as", "theirs", "--disk-only")
    try:
        for verb, snapshot in (
            ("create", "new"),
            ("restore", "base"),
            ("delete", "base"),
        ):
            run = asked(owner, verb, name, name=snapshot)
            owner.drive(run.started, run.frames.append)
            assert run.status == "failed"
            assert "has external snapshots of another program: theirs" in run.words
    finally:
        merge = ("vda", "--active", "--shallow", "--pivot", "--wait")
        virsh(stack, guest, name, "blockcommit", *merge)
        virsh(stack, guest, name, "snapshot-delete", "theirs", "--metadata")
        disk = project(stack, SLUG).read_state().guest(name).disk
        guest.host.run("rm", "-f", disk.replace(".qcow2", ".theirs"))
    assert guest.boot == boot
    done(owner, "restore", name, name="base")
    assert guest.boot == boot


def test_snapshots_survive_down_and_up(
    stack: Stack, owner: Client, guests: dict[str, Guest]
):
    boot = guests["away"].boot  # made when it is read first, and then in memory
    guests["away"].run("echo keep > /root/kept")
    done(owner, "create", "away", name="base", description="before down")
    virsh(stack, guests["away"], "away", "snapshot-create-as", "by-virsh")
    guests["away"].run("rm /root/kept; sync")

    down = ran(owner, SLUG, "down")
    assert down.status == "succeeded", down.words
    assert "2 snapshots kept for the next Up" in down.log
    wait_until(lambda: of(owner, "away")["kept"], "the look did not see the Down")
    kept = tree(owner, "away")
    assert list(kept) == ["base", "by-virsh"]
    assert all(one["memory_bytes"] > 1 << 20 for one in kept.values())
    up = ran(owner, SLUG, "up")
    assert up.status == "succeeded", up.words

    away = Guest(stack, SLUG, "away")
    assert away.boot != boot
    done(owner, "restore", "away", name="base")
    assert away.boot == boot
    assert away.run("cat /root/kept") == "keep"
