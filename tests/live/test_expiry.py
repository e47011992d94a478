"""A real guest's testbed ends by itself: with a snapshot, and without one.

The worker's own beat begins the ends, more often than it looks for them as a rule; the
tests only move the rows' times.
"""

import json
from collections.abc import Iterator

import pytest

from tests.live.client import Client
from tests.live.often import sent_often
from tests.live.rows import rows, run_status
from tests.live.stack import Stack
from tests.live.watch import DATA, condition, project, ran, wait_until

pytestmark = pytest.mark.live
SLUG, GUEST = "ending", "solo"
OVER = """
from datetime import timedelta
from testbed.models import Expiry
from testbed.models.expiry import database_now
now = database_now()
Expiry.objects.filter(testbed__name="ending").update(
    expires_at=now, warned_at=now - timedelta(hours=25), seen_at=now
)
"""


@pytest.fixture(scope="module", autouse=True)
def _testbed(stack: Stack, owner: Client) -> Iterator[None]:
    owner.create_testbed(SLUG, DATA / "small")
    with sent_often(stack, "expire"):
        yield
    assert ran(owner, SLUG, "down").status == "succeeded"


def come_up(owner: Client, at_end: str) -> None:
    up = ran(owner, SLUG, "up")
    assert up.status == "succeeded", up.words
    path = owner.path(SLUG, "expiry")
    owner.server.send("POST", path, {"at_end": at_end})
    assert owner.server.send("POST", path, {"hours": "100"})["ends_at"]


def virsh(stack: Stack, *words: str) -> str:
    return stack.main.run("virsh", *words).strip()


def snapshots_in_disk(stack: Stack) -> str:
    disk = project(stack, SLUG).read_state().guest(GUEST).disk
    text = stack.main.run("qemu-img", "info", "-U", "--output", "json", disk)
    found = json.loads(text).get("snapshots", ())
    return " ".join(one["name"] for one in found)


def runs(stack: Stack) -> list[tuple[object, ...]]:
    """Return the runs of the system: command and status, the first one first."""
    query = (
        "SELECT r.command, r.status FROM testbed_run r"
        " JOIN testbed_testbed t ON t.id = r.testbed_id"
        " WHERE t.name = ? AND r.asked_as = 'the system' ORDER BY r.id"
    )
    return rows(stack, query, SLUG)


def wait_for_the_end(stack: Stack) -> None:
    stack.shell(OVER)
    wait_until(lambda: condition(stack, SLUG) == "down", "it does not end")


def test_end_takes_a_snapshot_and_stops_the_guest_and_its_tool(
    stack: Stack, owner: Client
):
    come_up(owner, "snapshot")
    domain = project(stack, SLUG).read_state().guest(GUEST).domain
    words = ["tail", "-f", "/dev/null"]
    wish = {"form": "command", "selection": GUEST, "words": words, "tool": True}
    tool = owner.ask(SLUG, "exec", **wish)
    wait_until(lambda: run_status(stack, tool.number) == "running", "no tool runs")

    wait_for_the_end(stack)

    assert run_status(stack, tool.number) == "cancelled"
    assert runs(stack) == [("snapshot", "succeeded"), ("down", "succeeded")]
    assert domain not in virsh(stack, "list", "--all", "--name").split()
    name = snapshots_in_disk(stack)
    assert name.startswith("end-20")
    query = (
        "SELECT expires_at FROM testbed_expiry e JOIN testbed_testbed t"
        " ON t.id = e.testbed_id WHERE t.name = ?"
    )
    assert rows(stack, query, SLUG) == [(None,)]
    entries = rows(
        stack,
        "SELECT user, what FROM testbed_entry WHERE thing = ? AND what LIKE ?"
        " ORDER BY id",
        SLUG,
        "%at its end",
    )
    assert [user for user, _ in entries] == ["", ""]


def test_end_without_a_snapshot_stops_the_guest_and_leaves_the_former_one(
    stack: Stack, owner: Client
):
    come_up(owner, "stop")
    domain = project(stack, SLUG).read_state().guest(GUEST).domain
    before = snapshots_in_disk(stack)
    assert virsh(stack, "snapshot-list", domain, "--name") == before

    wait_for_the_end(stack)

    assert runs(stack)[2:] == [("down", "succeeded")]
    assert domain not in virsh(stack, "list", "--all", "--name").split()
    assert snapshots_in_disk(stack) == before != ""
