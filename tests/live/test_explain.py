"""Guests that do not come up, each for another reason, in one `up` on two hosts.

Everything is spoilt for real between two instructions, and each error must name the
layer that was spoilt, with its evidence.
"""

import json
import re
import subprocess
from collections.abc import Callable, Iterator

import pytest

from orchestration.project import keys
from orchestration.providers.guest import cloud_init
from orchestration.state.model import GuestState
from testbed.client.watching import Frame
from tests.live.client import Client
from tests.live.stack import Stack
from tests.live.watch import DATA, Ran, condition, host_of, project, ran

pytestmark = [pytest.mark.live, pytest.mark.slow]
SLUG = "unwell"
SMALL = "/var/lib/testbed/small"
UserData = dict[str, list[object]]
# A session that began meanwhile is a process of its own.
END_SSH = "while killall -KILL dropbear; do sleep 0.1; done"


class Saboteur:
    """Spoils one thing of each guest, when it is there and before it is used."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack

    def act(self, run: Ran, frame: Frame) -> None:
        if run.is_at(frame, "start-guests", "task-finished"):
            self._after_start(str(frame["resource"]))
        elif frame["type"] == "result":
            kind = run.started.instructions[int(str(frame["index"]))]["kind"]
            if kind == "generate-artefacts":
                self._spoil_artefacts()
            elif kind == "create-disks":
                self._fill_disk(self._guest("full"))

    def heal(self) -> None:
        """Let everything be taken down quickly."""
        for guest in project(self._stack, SLUG).read_state().guests:
            host = host_of(self._stack, guest.host)
            host.run("virsh", "destroy", guest.domain, check=False)
        self._stack.other.run("umount", self._guest("full").disk, check=False)
        self._stack.other.run("umount", SMALL, check=False)

    def _guest(self, name: str) -> GuestState:
        return project(self._stack, SLUG).read_state().guest(name)

    def _after_start(self, name: str) -> None:
        guest = self._guest(name)
        host = host_of(self._stack, guest.host)
        if name == "cut":
            assert guest.management is not None
            host.run("ip", "link", "set", guest.management.tap, "nomaster")
        elif name == "paused":
            host.run("virsh", "suspend", guest.domain)

    def _spoil_artefacts(self) -> None:
        stranger = keys.generate_key_pair("stranger").public_line
        key = "/etc/dropbear/forged"
        serve = f"dropbearkey -t ed25519 -f {key}; {END_SSH}; dropbear -s -r {key}"
        self._write_seed("forged", lambda data: data.update(runcmd=[serve]))

        def lock(data: UserData) -> None:
            data["users"] = [
                {**user, "ssh_authorized_keys": [stranger]}
                for user in data["users"]
                if isinstance(user, dict)
            ]

        self._write_seed("locked", lock)
        self._write_seed("deaf", lambda data: data.update(runcmd=[END_SSH]))
        self._write_seed("unready", lambda data: data.update(runcmd=["true"]))

    def _write_seed(self, name: str, change: Callable[[UserData], None]) -> None:
        """Write a guest's seed with other user data, as the product writes it."""
        found, guest = project(self._stack, SLUG), self._guest(name)
        text = cloud_init.build_user_data(
            guest, public_key=found.read_state().public_key
        )
        head, _, body = text.partition(b"\n")
        data: UserData = json.loads(body)
        change(data)
        files = {
            "meta-data": cloud_init.build_meta_data(guest),
            "user-data": head + b"\n" + json.dumps(data).encode(),
            "network-config": cloud_init.build_network_config(guest),
        }
        cloud_init.write_seed(found.artefacts / f"{name}-seed.iso", files)

    def _fill_disk(self, guest: GuestState) -> None:
        """Put one disk onto a file system of its own, which is full."""
        run = self._stack.other.run
        small = f"{SMALL}/disk.qcow2"
        run("mkdir", "-p", SMALL)
        run("mount", "-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs", SMALL)
        run("cp", guest.disk, small)
        run("sh", "-c", f"cat /dev/zero > {SMALL}/rest || true")
        run("mount", "--bind", small, guest.disk)


@pytest.fixture(scope="module")
def up(stack: Stack, owner: Client) -> Iterator[Ran]:
    """The `up` of all unwell guests, by a worker with less patience."""
    image = stack.folder / "blank.qcow2"
    subprocess.run(
        ["qemu-img", "create", "-q", "-f", "qcow2", image, "64M"], check=True
    )
    stack.add_image("blank", image, format="qcow2")
    owner.create_testbed(SLUG, DATA / SLUG)
    saboteur = Saboteur(stack)
    stack.stop("worker")
    stack.environment["TESTBED_BOOT_DEADLINE_S"] = "15"
    stack.start_worker()
    try:
        yield ran(owner, SLUG, "up", saboteur.act)
    finally:
        saboteur.heal()
        down = ran(owner, SLUG, "down")
        stack.stop("worker")
        del stack.environment["TESTBED_BOOT_DEADLINE_S"]
        stack.start_worker()
    assert down.status == "succeeded", down.words


@pytest.mark.parametrize(
    ("name", "words", "evidence"),
    [
        (
            "blank",
            "no system seems to boot from its disk: it printed nothing",
            r"virtual size: 64 MiB[\s\S]*The console is empty",
        ),
        (
            "cut",
            r"its management interface mgmt0 .* is not on bridge .*: it is on none",
            "testbed guest ready",
        ),
        (
            "deaf",
            r"deaf \(\S+:22\) cannot be reached over SSH: no server listens on that port",
            "testbed guest ready",
        ),
        ("locked", "SSH refuses the login", "testbed guest ready"),
        (
            "forged",
            "its SSH host key is not the one that it reported",
            r"expected SHA256:\S+\nseen SHA256:",
        ),
        (
            "full",
            r"its disk vda stopped: no space is left for \S+/full-disk\.qcow2",
            r"100% [\s\S]*QEMU's log \(/var/log/libvirt/qemu/t\d+-full\.log\)",
        ),
        ("paused", r"its domain is paused \(by request\)", "QEMU's log"),
        ("unready", "its first boot is not over", "testbed guest ready"),
    ],
)
def test_first_layer_that_failed_is_named(
    stack: Stack, up: Ran, name: str, words: str, evidence: str
) -> None:
    host = project(stack, SLUG).read_state().guest(name).host

    error = up.finished(name)

    assert error["status"] == "failed"
    start = rf"Guest {name} on {host} was not ready within \d+ s: "
    assert re.match(start + words, str(error["message"])), error
    assert re.search(evidence, str(error["detail"])), error
    assert error["hint"]


def test_testbed_with_unwell_guests_is_partial(stack: Stack, up: Ran) -> None:
    assert up.status == "failed"
    assert "0 of 8 guests are set up" in up.words
    assert condition(stack, SLUG) == "partial"
