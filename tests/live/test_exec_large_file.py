"""A file of a gigabyte goes to a guest and comes back in the memory of a small one.

A cancel in the middle of either way leaves no half of it.
"""

import os
import re
from contextlib import suppress
from pathlib import Path

import pytest

from testbed.client.rest.server import StartedRun
from testbed.client.watching import Frame
from tests.live.client import Client
from tests.live.stack import Stack
from tests.live.watch import Guest, cancel, project, ran

pytestmark = [pytest.mark.live, pytest.mark.slow, pytest.mark.timeout(1500)]
SLUG = "gigabyte"
MIB = 1024 * 1024
SIZE_BYTES = 1024 * MIB
MORE_BYTES = 64 * MIB
YAML = """\
machines:
  - name: wide
    interfaces: [{bridge: br0}]
    libvirt:
      cpus: 1
      memory_mb: 128
      libvirt_type: {cloud_image: {name: test_guest, expand_gigabytes: 2}}
network:
  bridges: [{name: br0}]
  external_bridge: br0
"""


@pytest.fixture(scope="module", name="guest")
def _guest(stack: Stack, owner: Client, tmp_path_factory: pytest.TempPathFactory):
    folder = tmp_path_factory.mktemp(SLUG)
    (folder / "kvm-compose.yaml").write_text(YAML)
    owner.create_testbed(SLUG, folder)
    up = ran(owner, SLUG, "up")
    assert up.status == "succeeded", up.words
    source = project(stack, SLUG).files / "large"
    source.write_bytes(os.urandom(MIB))
    os.truncate(source, SIZE_BYTES)
    yield Guest(stack, SLUG, "wide")
    assert ran(owner, SLUG, "down").status == "succeeded"


def workers(stack: Stack) -> list[Path]:
    """Return the processes of the worker, as folders of /proc."""
    session, found = stack.processes["worker"].pid, []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(ProcessLookupError):
            found += [process] if os.getsid(int(process.name)) == session else []
    return found


def memory_bytes(process: Path, name: str) -> int:
    """Return a value of a process: VmRSS is what it has, VmHWM its peak."""
    found = re.search(rf"{name}:\s+(\d+) kB", (process / "status").read_text())
    return int(found[1]) * 1024 if found else 0


def asked(client: Client, wanted: Frame) -> StartedRun:
    conditions = {"sudo": True}
    return client.ask(SLUG, "exec", selection="wide", conditions=conditions, **wanted)


def cancelled_in_the_middle(client: Client, wanted: Frame) -> int:
    """Cancel a copy once bytes of it have arrived; return the run's number."""
    run = asked(client, wanted)
    seen: list[Frame] = []

    def act(frame: Frame) -> None:
        is_progress = frame.get("kind") == "task-progressed"
        if is_progress and not seen and frame["data"]["done"] > 0:
            seen.append(frame["data"])
            cancel(client, run.number)

    assert client.drive(run, act) == "cancelled"
    assert seen[0]["done"] < SIZE_BYTES
    return run.number


def copied(client: Client, wanted: Frame) -> None:
    run = asked(client, wanted)
    assert client.drive(run, lambda _: None) == "succeeded", client.answers(run.number)


def test_gigabyte_travels_there_and_back_in_bounded_memory(
    stack: Stack, owner: Client, guest: Guest
) -> None:
    source = project(stack, SLUG).files / "large"
    processes = workers(stack)
    for process in processes:
        (process / "clear_refs").write_text("5")  # begin a new peak
    before = {process: memory_bytes(process, "VmRSS") for process in processes}

    copied(owner, {"form": "push", "path": "large", "target": "/srv/large"})
    copied(owner, {"form": "fetch", "path": "/srv/large"})

    grown = {
        process.name: memory_bytes(process, "VmHWM") - before[process]
        for process in processes
    }
    # None was replaced. One that starts a program just now may be seen as one more.
    assert set(workers(stack)) >= set(processes)
    assert max(grown.values()) < MORE_BYTES, grown
    assert guest.run("stat -c %s /srv/large") == str(SIZE_BYTES)
    [arrived] = project(stack, SLUG).fetched_of_all.glob("*/wide/large")
    assert arrived.stat().st_size == SIZE_BYTES
    with arrived.open("rb") as file, source.open("rb") as sent:
        assert file.read(2 * MIB) == sent.read(2 * MIB)


def test_cancelled_push_and_fetch_leave_no_half_file(
    stack: Stack, owner: Client, guest: Guest
) -> None:
    guest.run(f"dd if=/dev/zero of=/srv/zeros bs=1 count=0 seek={SIZE_BYTES}")

    cancelled_in_the_middle(
        owner, {"form": "push", "path": "large", "target": "/srv/half"}
    )
    fetched = cancelled_in_the_middle(owner, {"form": "fetch", "path": "/srv/zeros"})

    assert guest.run("find /srv -name '*half*'") == ""
    assert guest.run("pgrep -x tar || true") == ""
    folder = project(stack, SLUG).fetched(fetched)
    assert [path for path in folder.rglob("*") if path.is_file()] == []
