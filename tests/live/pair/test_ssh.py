"""A user's own ssh, on a third machine, with the downloaded configuration.

Host-b has the jump account: guest `away` there is reached through it, and nothing else
is: not the host's shell, not its ports, not another user's guest. Main has no such
account here: it shares /etc with the machine that runs the tests.
"""

import io
import os
import re
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from orchestration.providers.linux.jump_account import ACCOUNT, KEYS_FILE
from tests.live.client import Client
from tests.live.namespace_host import NamespaceHost, wire
from tests.live.pair.conftest import SLUG
from tests.live.stack import Stack
from tests.live.watch import Guest, key_of, pair_up, project, ran, wait_until

pytestmark = pytest.mark.live
FOREIGN = "foreign"
SET_UP = """
from django.core.management import CommandError, call_command
try:
    call_command("check_hosts", "host-b", "--set-up-jump")
except CommandError as exc:
    print(exc)
"""


@dataclass
class Laptop:
    """A machine in the lab's network with an agent that holds one key."""

    name: str
    folder: Path
    agent: Path

    def ssh(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run ssh in the folder of the download, as the page says."""
        line = ["ip", "netns", "exec", self.name, "ssh", "-F", "ssh_config"]
        return subprocess.run(
            [*line, "-o", "BatchMode=yes", *words],
            cwd=self.folder,
            env=os.environ | {"SSH_AUTH_SOCK": str(self.agent)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",  # a guest's first packet comes with its banner
            timeout=120,
        )


def new_key(path: Path) -> str:
    words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", path.name, "-f", path]
    subprocess.run(words, check=True)
    return path.with_suffix(".pub").read_text()


def start_agent(key: Path, place: Path) -> "subprocess.Popen[bytes]":
    words = ["ssh-agent", "-D", "-a", str(place)]
    agent = subprocess.Popen(words, stdout=subprocess.DEVNULL)
    wait_until(place.exists)
    environment = os.environ | {"SSH_AUTH_SOCK": str(place)}
    subprocess.run(["ssh-add", "-q", str(key)], env=environment, check=True)
    return agent


def unpack(client: Client, slug: str, folder: Path) -> Path:
    answer = client.pages.http.get(f"/testbeds/{slug}/ssh.zip").raise_for_status()
    with zipfile.ZipFile(io.BytesIO(answer.content)) as archive:
        archive.extractall(folder)
    return folder / f"{slug}-ssh"


def remove_keys(client: Client) -> None:
    for key in client.server.get("/ssh-keys")["items"]:
        client.server.send("DELETE", f"/ssh-keys/{key['id']}")


def address(stack: Stack, slug: str, guest: str) -> str:
    state = project(stack, slug).read_state()
    return state.way_to(state.guest(guest)).address


def keys_in(stack: Stack, slug: str, guest: str) -> str:
    """Return the keys that a guest's account has, past the product."""
    return Guest(stack, slug, guest).run("cat ~nocloud/.ssh/authorized_keys")


def wait_until_written(client: Client, slug: str, guest: str) -> None:
    page = f"/testbeds/{slug}/guests/{guest}/"
    wait_until(lambda: "not yet written" not in client.pages.read(page))


def set_active(stack: Stack, user: str, *, is_active: bool) -> None:
    """Do as the tick on the admin page does."""
    stack.shell(
        "from django.contrib.auth.models import User\n"
        f"User.objects.filter(username={user!r}).update(is_active={is_active})"
    )


@pytest.fixture(scope="module")
def laptop(
    stack: Stack, owner: Client, other: Client, tmp_path_factory
) -> Iterator[Laptop]:
    """A laptop of `owner`, whose testbed is up, as is that of `other`."""
    folder = tmp_path_factory.mktemp("laptop")
    for client, file, name in ((owner, "mine", "laptop"), (other, "theirs", "x")):
        key = {"key": new_key(folder / file), "name": name}
        client.server.send("POST", "/ssh-keys", key)
    agent = start_agent(folder / "mine", folder / "agent")
    machine = NamespaceHost(f"{stack.label}-l", folder / "l")
    wire(stack.main, "w8", machine)
    try:
        with pair_up(stack, other, FOREIGN):
            stack.main.run("ovs-vsctl", "add-port", "br-phy", "w8")
            own = f"{stack.main.address.rpartition('.')[0]}.8/24"
            for words in (f"addr add {own} dev w0", "link set w0 up"):
                ip = ["ip", "-n", machine.name, *words.split()]
                subprocess.run(ip, check=True)
            said = stack.shell(SET_UP)
            assert "has other settings" not in said, said
            for client, slug in ((owner, SLUG), (other, FOREIGN)):
                wait_until_written(client, slug, "away")
            wait_until(lambda: "permitopen" in stack.other.run("cat", KEYS_FILE))
            yield Laptop(machine.name, unpack(owner, SLUG, folder), folder / "agent")
            stack.main.run("ovs-vsctl", "--if-exists", "del-port", "br-phy", "w8")
    finally:
        for client in (owner, other):
            remove_keys(client)
        agent.terminate()
        agent.wait()
        stack.main.run("ip", "link", "delete", "w8", check=False)
        subprocess.run(["ip", "netns", "delete", machine.name], check=False)


def test_config_as_downloaded_reaches_the_guest_on_host_b(laptop, stack):
    boot = Guest(stack, SLUG, "away").boot

    done = laptop.ssh("away", "cat /proc/sys/kernel/random/boot_id")

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == boot


def test_line_of_the_page_names_the_same_way(laptop, stack, owner):
    page = owner.pages.read(f"/testbeds/{SLUG}/guests/away/")

    found = re.search(r"ssh -J (\S+) -o HostKeyAlias=(\S+) (\S+)</code>", page)

    assert found is not None
    assert found[1] == f"{ACCOUNT}@{stack.other.address}"
    assert found[2] == f"away.{key_of(stack, SLUG)}.testbed"
    assert found[3].endswith(f"@{address(stack, SLUG, 'away')}")


def test_jump_host_gives_no_shell_and_runs_nothing(laptop):
    for words in ("jump.host-b", "jump.host-b id", "-s jump.host-b sftp"):
        done = laptop.ssh(*words.split())

        assert done.returncode != 0
        assert "uid=" not in done.stdout


def test_jump_host_forwards_to_nothing_else(laptop, stack):
    closed = (
        "127.0.0.1:22",
        f"{stack.other.address}:22",
        f"{stack.main.address}:22",
        f"{address(stack, FOREIGN, 'away')}:22",
        f"{address(stack, SLUG, 'away')}:80",
    )
    for place in closed:
        done = laptop.ssh("-W", place, "jump.host-b")

        assert done.stdout == "", place
        assert "administratively prohibited" in done.stderr, place


def test_another_users_guest_refuses_the_key(laptop, stack):
    mine = keys_in(stack, SLUG, "away")
    theirs = keys_in(stack, FOREIGN, "away")

    assert "owner:laptop" in mine
    assert "other:x" in theirs
    assert "owner:laptop" not in theirs


def test_another_users_key_does_not_reach_the_guest(laptop, stack):
    key = laptop.folder.parent / "theirs"
    options = ["-i", str(key), "-o", "IdentitiesOnly=yes", "-o", "IdentityAgent=none"]

    theirs = laptop.ssh(
        *options, "-W", f"{address(stack, FOREIGN, 'away')}:22", "jump.host-b"
    )
    mine = laptop.ssh(
        *options, "-W", f"{address(stack, SLUG, 'away')}:22", "jump.host-b"
    )

    assert theirs.stdout.startswith("SSH-2.0-")
    assert mine.stdout == ""
    assert "administratively prohibited" in mine.stderr


@pytest.mark.slow
def test_deactivated_user_is_let_in_nowhere_and_comes_back(laptop, stack):
    set_active(stack, "owner", is_active=False)
    try:
        wait_until(lambda: "Permission denied" in laptop.ssh("jump.host-b").stderr)
        wait_until(lambda: "owner:laptop" not in keys_in(stack, SLUG, "away"))
    finally:
        set_active(stack, "owner", is_active=True)

    wait_until(lambda: laptop.ssh("away", "true").returncode == 0)


def test_removed_key_is_let_in_nowhere(laptop, stack, owner):
    remove_keys(owner)

    wait_until_written(owner, SLUG, "away")
    assert "owner:laptop" not in keys_in(stack, SLUG, "away")
    wait_until(lambda: "Permission denied" in laptop.ssh("away", "id").stderr)


def test_testbed_taken_down_is_reached_no_more(laptop, stack, other):
    place = f'permitopen="{address(stack, FOREIGN, "away")}:22"'
    assert place in stack.other.run("cat", KEYS_FILE)

    assert ran(other, FOREIGN, "down").status == "succeeded"

    wait_until(lambda: place not in stack.other.run("cat", KEYS_FILE))
