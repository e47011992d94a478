"""The jump account with this machine's sshd: it forwards to the named guests alone.

The host is a mount and a network namespace with its own /etc, so that the account is
made for real and nowhere else. test_ssh.py does the same with the second host's sshd.
"""

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.providers.linux import jump_account
from orchestration.transport.base import Command, Completed, Scope, command
from orchestration.transport.local import LocalTransport
from tests.waiting import wait_until

pytestmark = pytest.mark.live
MINE, FOREIGN, HOST = "127.0.0.2", "127.0.0.3", "127.0.0.1"
BOOT = """
set -e
mount --make-rprivate /
mkdir -p "$1/etc"
cp -a /etc/. "$1/etc"
mount --bind "$1/etc" /etc
mount -t tmpfs -o mode=755 tmpfs /var/lib
mount -t tmpfs -o mode=755 tmpfs /run
mkdir -p /run/sshd
ip link set lo up
ssh-keygen -A > /dev/null
sed -i '/^ListenAddress/d' /etc/ssh/sshd_config
/usr/sbin/sshd -o ListenAddress=127.0.0.1 -o UsePAM=no -E "$1/sshd.log"
echo ready
exec sleep infinity
"""
# Stands for guests: each address and port says its name to whoever connects.
GUESTS = """
import socket, sys, threading
def serve(server, place):
    while True:
        peer, _ = server.accept()
        peer.sendall(f"SSH-2.0-{place}\\r\\n".encode())
        peer.close()
for place in sys.argv[1:]:
    address, port = place.split(":")
    server = socket.create_server((address, int(port)))
    threading.Thread(target=serve, args=(server, place), daemon=True).start()
print("ready", flush=True)
sys.stdin.read()
"""


class OwnHost(LocalTransport):
    """A host with its own files below /etc, /run and /var/lib, and its own network."""

    def __init__(self, folder: Path) -> None:
        super().__init__("host")
        self.folder = folder
        words = ["unshare", "--mount", "--net", "sh", "-c", BOOT, "boot", str(folder)]
        self._holder = subprocess.Popen(words, stdout=subprocess.PIPE, text=True)
        assert self._holder.stdout.readline() == "ready\n"
        places = [f"{MINE}:22", f"{MINE}:80", f"{FOREIGN}:22"]
        self._guests = subprocess.Popen(
            [*self.inside("-n"), sys.executable, "-c", GUESTS, *places],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._guests.stdout.readline() == "ready\n"

    def inside(self, *spaces: str) -> list[str]:
        return ["nsenter", "-t", str(self._holder.pid), *spaces, "--"]

    def run(self, cmd: Command, **options) -> Completed:
        words = (*self.inside("-m", "-n"), *cmd.argv)
        return super().run(replace(cmd, argv=words), **options)

    def put(self, source: bytes, target: str, *, scope: Scope, **options) -> None:
        write = command("sh", "-c", 'cat > "$1"', "put", target, stdin=source)
        self.run(write, scope=scope)

    def ssh(self, key: Path, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a user's ssh, towards the account."""
        options = ["-F", "/dev/null", "-i", str(key), "-o", "IdentitiesOnly=yes"]
        options += ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]
        options += ["-o", "UserKnownHostsFile=/dev/null"]
        options += ["-o", "ExitOnForwardFailure=yes"]
        return subprocess.run(
            [*self.inside("-n"), "ssh", *options, *words],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        )

    def through(self, key: Path, place: str) -> str:
        """Return what a place says to a connection through the account."""
        done = self.ssh(key, "-W", place, f"{jump_account.ACCOUNT}@{HOST}")
        return done.stdout.strip()

    def close(self) -> None:
        for process in (self._guests, self._holder):
            with process:  # which closes its pipes and waits
                process.kill()


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return the private keys of a user and of a stranger."""
    folder = tmp_path_factory.mktemp("keys")
    found = folder / "user", folder / "stranger"
    for path in found:
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)]
        subprocess.run(words, check=True)
    return found


@pytest.fixture(scope="module")
def host(
    keys: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[OwnHost]:
    """A host with the account, which lets the user's key to one guest."""
    host = OwnHost(tmp_path_factory.mktemp("host"))
    try:
        jump_account.set_up(host, scope=Scope())
        jump_account.ensure_keys(host, content(keys), scope=Scope())
        yield host
    finally:
        sshd = host.run(command("cat", "/run/sshd.pid"), scope=Scope(), check=False)
        if pid := sshd.stdout.strip():
            subprocess.run(["kill", pid], check=False)
        host.close()


def content(keys: tuple[Path, Path]) -> bytes:
    line = " ".join(keys[0].with_suffix(".pub").read_text().split()[:2])
    return jump_account.build_keys({line: frozenset({MINE})})


def test_account_leads_to_the_named_guest(host, keys):
    # An sshd that reads its file again does not listen for a moment.
    wait_until(lambda: host.through(keys[0], f"{MINE}:22") == f"SSH-2.0-{MINE}:22")


@pytest.mark.parametrize(
    "place", [f"{FOREIGN}:22", f"{HOST}:22", "localhost:22", f"{MINE}:80"]
)
def test_account_leads_nowhere_else(host, keys, place):
    done = host.ssh(keys[0], "-W", place, f"{jump_account.ACCOUNT}@{HOST}")

    assert done.stdout == ""
    assert "administratively prohibited" in done.stderr


@pytest.mark.parametrize(
    "words",
    [("id",), ("-tt",), ("-s", "sftp"), ("-N", "-R", "127.0.0.1:7777:127.0.0.1:22")],
    ids=["command", "shell", "sftp", "listening"],
)
def test_account_does_nothing_but_forward(host, keys, words):
    flags = [word for word in words if word.startswith("-") or ":" in word]
    rest = [word for word in words if word not in flags]

    done = host.ssh(keys[0], *flags, f"{jump_account.ACCOUNT}@{HOST}", *rest)

    assert done.returncode != 0
    assert "uid=" not in done.stdout


def test_another_key_is_let_in_nowhere(host, keys):
    done = host.ssh(keys[1], "-W", f"{MINE}:22", f"{jump_account.ACCOUNT}@{HOST}")

    assert "Permission denied" in done.stderr


def test_second_set_up_changes_nothing_and_the_look_agrees(host, keys):
    before = host.run(command("cat", "/run/sshd.pid"), scope=Scope()).stdout

    jump_account.set_up(host, scope=Scope())

    assert jump_account.look(host, scope=Scope()).works
    assert not jump_account.ensure_keys(host, content(keys), scope=Scope())
    assert host.run(command("cat", "/run/sshd.pid"), scope=Scope()).stdout == before


def test_account_whose_shell_is_missing_is_seen_and_mended(host, keys):
    shell = command("usermod", "--shell", "/absent", jump_account.ACCOUNT)
    host.run(shell, scope=Scope())
    assert "shell is missing" in jump_account.look(host, scope=Scope()).problem
    assert host.through(keys[0], f"{MINE}:22") == ""

    jump_account.set_up(host, scope=Scope())

    assert jump_account.look(host, scope=Scope()).works
    assert host.through(keys[0], f"{MINE}:22") == f"SSH-2.0-{MINE}:22"


@pytest.mark.parametrize(
    ("setting", "missing"),
    [
        (
            f"Match User {jump_account.ACCOUNT}\n  PermitTTY yes\nMatch all",
            "permittty no",
        ),
        ("AllowUsers root", f"allowusers {jump_account.ACCOUNT}"),
    ],
    ids=["terminal", "list of users"],
)
def test_look_sees_an_administrators_other_setting(host, setting, missing):
    path = "/etc/ssh/sshd_config.d/10-admin.conf"
    host.put(f"{setting}\n".encode(), path, scope=Scope())
    try:
        found = jump_account.look(host, scope=Scope())
    finally:
        host.run(command("rm", path), scope=Scope())

    assert not found.works
    assert missing in found.problem


def test_configuration_that_sshd_refuses_is_not_kept(host, monkeypatch):
    monkeypatch.setattr(jump_account, "SSHD_CONFIG", "Nonsense yes\n")
    with pytest.raises(jump_account.NetworkFailed):
        jump_account.set_up(host, scope=Scope())

    assert jump_account.look(host, scope=Scope()).works


def test_removed_key_is_let_in_no_more(host, keys):
    jump_account.ensure_keys(host, b"", scope=Scope())
    try:
        assert host.through(keys[0], f"{MINE}:22") == ""
    finally:
        jump_account.ensure_keys(host, content(keys), scope=Scope())
