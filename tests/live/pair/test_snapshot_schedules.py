"""Snapshots of real guests by a schedule and by a lab admin, as virsh sees them.

One guest on main, one behind a Debian 13 host. The worker's own beat finds what is above
the number to keep, more often than it looks as a rule, and starts the acts that wait.
"""

from collections.abc import Iterator
from html import unescape

import pytest

from tests.live.often import sent_often
from tests.live.pair.conftest import SLUG
from tests.live.rows import rows
from tests.live.stack import Stack
from tests.live.watch import Guest, project, wait_until

pytestmark = pytest.mark.live
NAMES = ("near", "away")
# virsh is started anew for each look.
LOOK_S = 1


@pytest.fixture(name="guests")
def _guests(stack: Stack) -> Iterator[dict[str, Guest]]:
    """The guests; each is left without snapshots."""
    found = {name: Guest(stack, SLUG, name) for name in NAMES}
    yield found
    stack.shell(
        "from testbed.models import SnapshotSchedule\n"
        "for one in SnapshotSchedule.objects.all(): one.delete()"
    )
    for name, guest in found.items():
        for one in on_host(stack, guest, name):
            virsh(stack, guest, name, "snapshot-delete", one)


def virsh(stack: Stack, guest: Guest, name: str, verb: str, *words: str) -> str:
    domain = project(stack, SLUG).read_state().guest(name).domain
    return guest.host.run("virsh", verb, domain, *words)


def on_host(stack: Stack, guest: Guest, name: str) -> list[str]:
    """Return a guest's snapshots, the oldest first."""
    found = virsh(stack, guest, name, "snapshot-list", "--name", "--topological")
    return found.split()


def occasion(stack: Stack, guests: dict[str, Guest], count: int) -> str:
    """Let a time of the nightly schedule come, and return the snapshot's name."""
    stack.shell(
        "from testbed.models import SnapshotSchedule, Testbed\n"
        "from testbed.snapshots.schedules import take_snapshots\n"
        "SnapshotSchedule.objects.update(tried_at=None)\n"
        f"take_snapshots.delay(Testbed.objects.get(name={SLUG!r}).pk, 'nightly')"
    )
    for name, guest in guests.items():
        wait_until(
            lambda: len(on_host(stack, guest, name)) == count,  # noqa: B023
            f"{name} has no new snapshot",
            pause_s=LOOK_S,
        )
    wait_until(lambda: not active(stack), "the run does not end")
    return on_host(stack, guests["near"], "near")[-1]


def active(stack: Stack) -> list[object]:
    return rows(
        stack,
        "SELECT id FROM testbed_run WHERE ended_at IS NULL",
    )


def next_minute(stack: Stack, last: str) -> None:
    """Wait until a new snapshot gets another name than the last one."""
    wait_until(
        lambda: stack.main.run("date", "-u", "+%H%M").strip() != last[-4:],
        "the minute does not end",
        timeout_s=70,
        pause_s=LOOK_S,
    )


def test_schedule_keeps_the_last_of_its_own_and_an_admin_deletes_the_rest(
    stack: Stack, guests: dict[str, Guest]
):
    boots = {name: guest.boot for name, guest in guests.items()}
    virsh(stack, guests["near"], "near", "snapshot-create-as", "nightly-by-virsh")
    virsh(stack, guests["away"], "away", "snapshot-create-as", "nightly-by-virsh")
    stack.shell(
        "from django.contrib.auth.models import User\n"
        "from testbed.models import SnapshotSchedule, Testbed\n"
        "from testbed.snapshots.schedules import set_schedule\n"
        f"lab = Testbed.objects.get(name={SLUG!r})\n"
        "one = SnapshotSchedule(testbed=lab, rhythm='nightly', keep=1)\n"
        "set_schedule(one, User.objects.get(username='owner'))"
    )

    first = occasion(stack, guests, 2)
    next_minute(stack, first)
    second = occasion(stack, guests, 3)

    left = ["nightly-by-virsh", second]
    with sent_often(stack, "keep-house"):
        for name, guest in guests.items():
            wait_until(
                lambda: on_host(stack, guest, name) == left,  # noqa: B023
                f"{name} keeps {first}",
                pause_s=LOOK_S,
            )
    label = virsh(stack, guests["away"], "away", "snapshot-dumpxml", second)
    assert '"schedule": "nightly"' in unescape(label)
    assert {name: guest.boot for name, guest in guests.items()} == boots

    listed = "SELECT id FROM testbed_labsnapshot"
    wait_until(lambda: len(rows(stack, listed)) == 4, "the list is not complete")
    stack.add_user("boss", is_admin=True)
    boss = stack.client("boss")
    for (key,) in rows(stack, listed):
        form = {"verb": "delete", "pick": str(key)}
        leads_to = boss.pages.send("/snapshots/act/", form)
        assert leads_to == "/admin/testbed/snapshotorder/"
    boss.close()
    for name, guest in guests.items():
        wait_until(
            lambda: on_host(stack, guest, name) == [],  # noqa: B023
            f"{name} has snapshots",
            pause_s=LOOK_S,
        )
    assert {name: guest.boot for name, guest in guests.items()} == boots
    assert guests["near"].run("echo alive") == "alive"
