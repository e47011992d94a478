"""A group snapshot of six guests on two hosts: one moment, all or none, never paused.

Main has libvirt 9.0, where this machine is a Debian 12; the second host may be a Debian
13. A connection between two guests of different hosts tells whether they went back to
the same moment.
"""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestration.project import groups
from testbed.client.watching import Frame
from tests.live.client import Client
from tests.live.faults import kill_worker, start_worker
from tests.live.pauses import pauses
from tests.live.stack import Stack
from tests.live.traffic import reached
from tests.live.watch import DATA, Guest, Ran, cancel, key_of, project, ran, wait_until

pytestmark = pytest.mark.live
SLUG = "six"
NEAR, FAR = ("n0", "n1", "n2"), ("f0", "f1", "f2")
NAMES = NEAR + FAR
FAR_ADDRESS = "10.0.0.8"
# A clock is read over SSH, on a busy machine.
CLOCK_S = 30
PAUSED_WITHIN_S = 60
RESUMED_WITHIN_S = 60
# Counts on both ends of a connection that lives as long as both guests remember it.
LISTEN = "(tail -f /dev/null | nc -l -p 77 > /root/heard 2>&1 &)"
SAY = "((i=0; while sleep 0.2; do echo $((i+=1)); done | nc %s 77) > /dev/null 2>&1 &)"


@pytest.fixture(scope="module", name="guests")
def _guests(stack: Stack, owner: Client) -> Iterator[dict[str, Guest]]:
    owner.create_testbed(SLUG, DATA / "six")
    up = ran(owner, SLUG, "up")
    assert up.status == "succeeded", up.words
    yield {name: Guest(stack, SLUG, name) for name in NAMES}
    assert ran(owner, SLUG, "down").status == "succeeded"


@pytest.fixture(autouse=True)
def _nothing_left(stack: Stack, guests: dict[str, Guest]) -> Iterator[None]:
    """Let each test begin without snapshots, with running guests."""
    yield
    for name in NAMES:
        for root in virsh(stack, name, "snapshot-list", "--roots", "--name").split():
            virsh(stack, name, "snapshot-delete", root, "--children")
    assert set(states(stack).values()) == {"running"}


def virsh(stack: Stack, name: str, verb: str, *words: str) -> str:
    guest = project(stack, SLUG).read_state().guest(name)
    host = stack.main if guest.host == "main" else stack.other
    return host.run("virsh", verb, guest.domain, *words).strip()


def states(stack: Stack) -> dict[str, str]:
    with ThreadPoolExecutor(len(NAMES)) as pool:
        found = pool.map(lambda name: virsh(stack, name, "domstate"), NAMES)
        return dict(zip(NAMES, found, strict=True))


def wait_until_all_run(stack: Stack) -> None:
    """Wait for the hosts to resume their guests by themselves."""
    wait_until(
        lambda: set(states(stack).values()) == {"running"},
        "guests stand still",
        timeout_s=RESUMED_WITHIN_S,
    )


def snapshots(stack: Stack) -> dict[str, str]:
    return {name: virsh(stack, name, "snapshot-list", "--name") for name in NAMES}


def begun(client: Client, verb: str, name: str, **wish: object) -> Ran:
    return Ran(
        client.ask(SLUG, "snapshots", verb=verb, guest="@all", name=name, **wish)
    )


def done(client: Client, verb: str, name: str, **wish: object) -> Ran:
    run = begun(client, verb, name, **wish)
    client.drive(run.started, run.frames.append)
    assert run.status == "succeeded", run.words
    return run


def on_all(guests: dict[str, Guest], command: str) -> dict[str, str]:
    with ThreadPoolExecutor(len(guests)) as pool:
        found = pool.map(lambda guest: guest.run(command), guests.values())
        return dict(zip(guests, found, strict=True))


def struck(stack: Stack, client: Client, run: Ran, strike: Callable[[], None]) -> None:
    """Drive a run, and strike as soon as its task has paused all guests."""

    def take(frame: Frame) -> None:
        run.frames.append(frame)
        kind = run.started.instructions[0]["kind"]
        if run.is_at(frame, kind, "task-started"):
            for _ in NAMES:
                assert paused.acquire(timeout=PAUSED_WITHIN_S), states(stack)
            strike()

    with pauses(stack.main, stack.other) as paused:
        client.drive(run.started, take)


def test_all_go_back_to_one_moment_and_on_together(
    stack: Stack, owner: Client, guests: dict[str, Guest]
):
    near, far = guests["n0"], guests["f0"]
    on_all(guests, "echo keep > /root/file; sync")
    far.run(LISTEN)
    near.run(SAY % FAR_ADDRESS)
    wait_until(lambda: far.run("wc -l < /root/heard") > "0", "the two do not speak")
    boots = on_all(guests, "cat /proc/sys/kernel/random/boot_id")

    taken = done(owner, "create", "base", description="before")
    for name in NAMES:
        assert virsh(stack, name, "snapshot-info", "base").count("running") == 1
    on_all(guests, "rm /root/file; sync")
    far.run("pkill nc")
    yaml = project(stack, SLUG).yaml
    before = yaml.read_text()
    yaml.write_text(f"{before}# edited\n")
    restored = done(owner, "restore", "base", before="present")

    said = taken.of("create-group-snapshot")[SLUG]["message"]
    assert "6 guests on 2 hosts; each stood still for at most" in said
    assert (
        taken.finished(key_of(stack, SLUG))["detail"].count("stood still for at most")
        == 6
    )
    words = restored.of("restore-group-snapshot")[SLUG]["message"]
    assert words.startswith("6 guests restored; they went on within")
    assert "the YAML of then differs" in words
    assert on_all(guests, "cat /root/file") == dict.fromkeys(NAMES, "keep")
    assert on_all(guests, "cat /proc/sys/kernel/random/boot_id") == boots
    for name, seconds in on_all(guests, "date +%s").items():
        assert abs(int(seconds) - time.time()) < CLOCK_S, name
    heard = int(far.run("tail -n 1 /root/heard"))
    wait_until(
        lambda: int(far.run("tail -n 1 /root/heard")) > heard + 5,
        "the connection of then does not live",
    )
    assert reached(near, FAR_ADDRESS)
    (group, _) = owner.get(SLUG, "snapshots")["groups"]
    assert (group["name"], group["whole"], group["other_yaml"]) == ("base", True, True)
    assert [one["guest"] for one in group["standstills"]] == list(NAMES)
    yaml.write_text(before)
    for guest in ("n0", "f0"):
        check = owner.ask(SLUG, f"guests/{guest}/check")
        assert owner.drive(check, lambda frame: None) == "succeeded"


def test_group_is_deleted_and_others_stay(
    stack: Stack, owner: Client, guests: dict[str, Guest]
):
    done(owner, "create", "base")
    virsh(stack, "n1", "snapshot-create-as", "by-virsh")

    done(owner, "delete", "base")

    assert snapshots(stack) == dict.fromkeys(NAMES, "") | {"n1": "by-virsh"}
    latest = begun(owner, "restore", "")
    owner.drive(latest.started, latest.frames.append)
    assert latest.status == "succeeded", latest.words
    assert "not restored: n0, n2, f0, f1, f2" in latest.words


def test_guests_run_on_when_the_worker_is_killed_while_all_are_paused(
    stack: Stack, owner: Client, guests: dict[str, Guest]
):
    boots = on_all(guests, "cat /proc/sys/kernel/random/boot_id")
    run = begun(owner, "create", "half")

    def strike() -> None:
        kill_worker(stack)
        wait_until_all_run(stack)
        start_worker(stack)

    struck(stack, owner, run, strike)

    assert run.status == "interrupted", run.words
    wait_until(
        lambda: groups.journal(project(stack, SLUG)) is None,
        "nothing put the group right",
    )
    assert snapshots(stack) == dict.fromkeys(NAMES, "")
    assert on_all(guests, "cat /proc/sys/kernel/random/boot_id") == boots
    done(owner, "create", "whole")


def test_cancelled_run_leaves_all_or_none(
    stack: Stack, owner: Client, guests: dict[str, Guest]
):
    run = begun(owner, "create", "x")

    def strike() -> None:
        cancel(owner, run.started.number)

    struck(stack, owner, run, strike)

    is_taken = run.finished(key_of(stack, SLUG))["status"] == "done"
    assert snapshots(stack) == dict.fromkeys(NAMES, "x" if is_taken else "")
    assert set(states(stack).values()) == {"running"}


def test_guests_of_a_lost_host_run_on_and_none_keeps_the_half(
    stack: Stack, owner: Client, guests: dict[str, Guest]
):
    run = begun(owner, "create", "lost")

    def strike() -> None:
        stack.other.cut()
        wait_until_all_run(stack)

    try:
        struck(stack, owner, run, strike)
        assert run.status == "failed", run.words
        assert {snapshots(stack)[name] for name in NEAR} == {""}
    finally:
        stack.other.mend()
    wait_until(
        lambda: groups.journal(project(stack, SLUG)) is None,
        "nothing put the group right",
    )
    assert snapshots(stack) == dict.fromkeys(NAMES, "")
    # The worker logs in to the host again.
    wait_until(
        lambda: ran(owner, SLUG, "up").status == "succeeded", "host-b is not back"
    )
