"""The jump account with this machine's sshd: it forwards to the named guests alone.

The host is a mount and a network namespace with its own /etc, so that the account is
made for real and nowhere else. test_ssh.py does the same with the second host's sshd.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from django.contrib.auth.models import User

from orchestration.errors import NetworkFailed
from orchestration.providers.linux import jump_account, jump_sessions
from orchestration.providers.linux.jump_sessions import TICKS_PER_S, Session
from orchestration.transport.base import Command, Completed, Scope, command
from orchestration.transport.local import LocalTransport
from testbed.models import Host, JumpReach
from testbed.ssh import jump_visits
from testbed.ssh.jump_account import Allowed, Jump
from testbed.testbeds.files import create_testbed
from tests.deployed_files import WORKER, rights
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
# Stands for guests: each address and port says its name to whoever connects, and then
# the same as they.
GUESTS = """
import socket, sys, threading
def answer(peer, place):
    with peer:
        peer.sendall(f"SSH-2.0-{place}\\r\\n".encode())
        while data := peer.recv(1000):
            peer.sendall(data)
def serve(server, place):
    while True:
        peer, _ = server.accept()
        threading.Thread(target=answer, args=(peer, place), daemon=True).start()
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
        self.rights: list[str] = []
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
        words = (*self.inside("-m", "-n"), *self.rights, *cmd.argv)
        return super().run(replace(cmd, argv=words), **options)

    def put(self, source: bytes, target: str, *, scope: Scope, **options) -> None:
        write = command("sh", "-c", 'cat > "$1"', "put", target, stdin=source)
        self.run(write, scope=scope)

    def ssh(self, key: Path, *words: str) -> subprocess.CompletedProcess[str]:
        """Run a user's ssh, towards the account."""
        return subprocess.run(
            self._ssh(key, *words),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=30,
        )

    def _ssh(self, key: Path, *words: str) -> list[str]:
        options = ["-F", "/dev/null", "-i", str(key), "-o", "IdentitiesOnly=yes"]
        options += ["-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=no"]
        options += ["-o", "UserKnownHostsFile=/dev/null"]
        options += ["-o", "ExitOnForwardFailure=yes"]
        return [*self.inside("-n"), "ssh", *options, *words]

    @contextmanager
    def connection(
        self, key: Path, *words: str
    ) -> Iterator[tuple[subprocess.Popen[bytes], Session]]:
        """Keep a user's ssh open, with its session on the host."""
        before = self.sessions()
        line = self._ssh(key, *words, f"{jump_account.ACCOUNT}@{HOST}")
        pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE}
        with subprocess.Popen(line, **pipes) as process:
            try:
                session = wait_until(lambda: self.sessions() - before).pop()
                yield process, session
            finally:
                process.kill()
        # sshd notices that a moment later.
        wait_until(lambda: session not in self.sessions())

    def sessions(self) -> set[Session]:
        """Return the connections, each without the addresses that it leads to."""
        found = jump_sessions.look(self, scope=Scope()).all
        return {Session(one.pid, one.begin) for one in found}

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


def line_of(key: Path) -> str:
    return " ".join(key.with_suffix(".pub").read_text().split()[:2])


def content(keys: tuple[Path, Path]) -> bytes:
    return jump_account.build_keys({line_of(keys[0]): frozenset({MINE})})


def still_answers(process: "subprocess.Popen[bytes]") -> bool:
    """Return whether what is typed into a connection comes back through it."""
    process.stdin.write(b"are you there\n")
    process.stdin.flush()
    return process.stdout.readline() == b"are you there\n"


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


def test_older_connection_is_ended_while_a_younger_one_goes_on(host, keys):
    """The limit lies between their ages."""
    way = ("-W", f"{MINE}:22")
    with host.connection(keys[0], *way) as (old, first):
        time.sleep(0.1)
        with host.connection(keys[0], *way) as (young, second):
            assert second.begin > first.begin
            young.stdout.readline()
            found = jump_sessions.look(host, scope=Scope())
            due = found.older_than((found.now - first.begin) / TICKS_PER_S)
            assert {one.pid for one in due} == {first.pid}

            jump_sessions.end(host, due, scope=Scope())

            assert old.wait(30) != 0
            assert still_answers(young)
            wait_until(lambda: host.sessions() == {second})


def test_connection_to_an_address_that_no_key_opens_any_more_is_ended(host, keys):
    both = {line_of(keys[0]): frozenset({MINE, FOREIGN})}
    jump_account.ensure_keys(host, jump_account.build_keys(both), scope=Scope())
    try:
        with (
            host.connection(keys[0], "-W", f"{MINE}:22") as (stays, _),
            host.connection(keys[0], "-W", f"{FOREIGN}:22") as (leaves, second),
        ):
            for process in (stays, leaves):
                process.stdout.readline()
            jump_account.ensure_keys(host, content(keys), scope=Scope())

            found = jump_sessions.look(host, scope=Scope())
            due = found.beside(frozenset({MINE}))
            jump_sessions.end(host, due, scope=Scope())

            assert due == {replace(second, addresses=frozenset({FOREIGN}))}
            assert leaves.wait(30) != 0
            assert still_answers(stays)
    finally:
        jump_account.ensure_keys(host, content(keys), scope=Scope())


def test_ending_hits_no_process_of_another_account_and_none_that_began_later(
    host, keys
):
    with host.connection(keys[0], "-W", f"{MINE}:22") as (process, session):
        process.stdout.readline()
        reused = replace(session, begin=session.begin - 1)
        jump_sessions.end(host, [reused], scope=Scope())
        assert still_answers(process)

    sleeper = subprocess.Popen(["sleep", "300"])
    try:
        with open(f"/proc/{sleeper.pid}/stat") as file:  # noqa: PTH123
            foreign = Session(sleeper.pid, int(file.read().split()[21]))
        with pytest.raises(NetworkFailed, match="were not ended"):
            jump_sessions.end(host, [foreign], scope=Scope())
        assert sleeper.poll() is None
    finally:
        sleeper.kill()
        sleeper.wait()


def test_process_of_a_container_with_the_accounts_number_is_no_connection(host):
    number = host.run(command("id", "-u", jump_account.ACCOUNT), scope=Scope())
    container = ["unshare", "--pid", "--fork", "setpriv", "--reuid"]
    sleep = [number.stdout.strip(), "sleep", "300"]
    with subprocess.Popen([*container, *sleep]) as process:
        children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
        inside = int(wait_until(children.read_text))
        try:
            status = Path(f"/proc/{inside}/status")
            wait_until(lambda: f"Uid:\t{sleep[0]}\t" in status.read_text())

            assert host.sessions() == set()
        finally:
            os.kill(inside, signal.SIGKILL)


def test_workers_rights_on_main_are_enough(host, keys, monkeypatch):
    way = ("-W", f"{MINE}:22")
    with host.connection(keys[0], *way) as (process, session):
        process.stdout.readline()
        monkeypatch.setattr(host, "rights", ["setpriv", *rights(WORKER)])

        found = jump_sessions.look(host, scope=Scope())
        assert found.all == (replace(session, addresses=frozenset({MINE})),)
        jump_sessions.end(host, found.all, scope=Scope())

        assert process.wait(30) != 0
        wait_until(lambda: host.sessions() == set())


def test_number_of_a_deleted_testbed_rests_until_its_connection_has_ended(
    host, keys, db, settings, tmp_path, monkeypatch
):
    """The visit is real; what the keys lead to is given, as no guest is there."""
    settings.TESTBEDS_DIR = tmp_path
    jump = Jump(is_there=True, works=True).model_dump()
    Host.objects.create(name="host", address=HOST, jump=jump)
    owner = User.objects.create_user("olive")
    deleted = create_testbed(owner, "deleted", {})
    line = line_of(keys[0])
    allowed = {"host": Allowed({line: frozenset({MINE})}, {deleted.pk: deleted.number})}
    monkeypatch.setattr(jump_visits, "allowed_on_hosts", lambda: allowed)
    monkeypatch.setattr(jump_sessions, "LOGIN_TICKS", 0)
    hosts = SimpleNamespace(open=lambda _: SimpleNamespace(transport=host))
    jump_visits.visit_hosts(hosts)
    with host.connection(keys[0], "-N"):
        deleted.delete()
        allowed.clear()
        jump_visits.visit_hosts(hosts)
        assert JumpReach.objects.all_numbers() == {0}
        assert len(host.sessions()) == 1
        assert create_testbed(owner, "next", {}).number == 1
    wait_until(lambda: not host.sessions())

    jump_visits.visit_hosts(hosts)

    assert JumpReach.objects.all_numbers() == set()
    assert create_testbed(owner, "last", {}).number == 0
    jump_account.ensure_keys(host, content(keys), scope=Scope())
