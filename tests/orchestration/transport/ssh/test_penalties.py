"""OpenSSH 10 with its default penalties lets us in, whatever boots and goes down.

The servers run in the root file system of Debian 13 that script/lab/debian-root makes.
"""

import contextlib
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import SimpleNamespace
from typing import cast

import pytest

from orchestration.errors import HostUnreachable, TemporarilyRefused
from orchestration.hosts import Hosts
from orchestration.instructions.boot import reaching
from orchestration.instructions.boot.diagnosis.evidence import Symptom
from orchestration.instructions.task import Task
from orchestration.state.model import HostState
from orchestration.transport.base import Scope, command
from orchestration.transport.reachable import require_answer
from orchestration.transport.ssh import Failures, Limits, SSHTransport
from tests.live.namespace_host import debian_13
from tests.orchestration.transport.conftest import (
    Server,
    free_port,
    keygen,
    sshd_config,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.live

TESTBEDS = 10
GUESTS = 20
# Runs sshd of a root file system, whose /mnt is the server's folder.
IN_ROOT = """\
mount --bind "$1" "$1" && mount --rbind /dev "$1/dev" && mount --rbind /proc "$1/proc"
mount -t tmpfs tmpfs "$1/run" && mkdir "$1/run/sshd" && mount --bind "$2" "$1/mnt"
exec chroot "$1" /usr/sbin/sshd -D -E /mnt/log -f /mnt/config
"""
PATIENT = Limits(60.0, 60.0, 60.0)
HASTY = Limits(5.0, 5.0, 0.9)
BAN = "drop connection"
MakeServer = Callable[[str], Server]


@pytest.fixture
def make_sshd_10(tmp_path: Path) -> Iterator[MakeServer]:
    """Make servers of OpenSSH 10; they are not started."""
    root = debian_13()
    if root is None or os.geteuid() != 0:
        pytest.skip("needs root, and the root that script/lab/debian-root builds")
    keygen(tmp_path / "id")
    servers: list[Server] = []

    def make(name: str) -> Server:
        folder = tmp_path / name
        folder.mkdir()
        host_key, port = keygen(folder / "host"), free_port()
        (folder / "authorized").write_bytes((tmp_path / "id.pub").read_bytes())
        sshd_config(folder, port, "LogLevel VERBOSE", seen_as=Path("/mnt"))
        argv = ["unshare", "-m", "--propagation", "private"]
        argv += ["sh", "-c", IN_ROOT, "sh", str(root.resolve()), str(folder)]
        servers.append(Server(argv, port, host_key, tmp_path / "id"))
        return servers[-1]

    yield make
    for server in servers:
        for transport in server.transports:
            transport.close()
        if server.process is not None:
            server.stop()


def test_ten_testbeds_that_go_down_at_once_find_their_host(
    make_sshd_10: MakeServer, tmp_path: Path
) -> None:
    server = make_sshd_10("host")
    server.start()
    state = HostState(
        name="host-b",
        address="127.0.0.1",
        port=server.port,
        identity_file=str(server.identity),
        host_key=server.host_key,
    )
    workers = [Hosts(tmp_path / "runtime") for _ in range(TESTBEDS)]

    def go_down(hosts: Hosts) -> None:
        for _ in range(8):
            transport = hosts.open(state).transport
            require_answer(transport)
            transport.run(command("true"), scope=Scope())

    with ThreadPoolExecutor(TESTBEDS) as pool:
        list(pool.map(go_down, workers))

    server.transport().require_answer(PATIENT, scope=Scope())
    log = (tmp_path / "host" / "log").read_text()
    assert log.count("penalty of") == 1  # the test's own question at the start
    assert BAN not in log
    for hosts in workers:
        hosts.close()


def test_twenty_guests_that_boot_are_reached_without_a_penalty(
    make_sshd_10: MakeServer, tmp_path: Path
) -> None:
    host = make_sshd_10("host")
    host.start()
    via = host.transport()
    ledger = Failures(tmp_path / "failures.json")
    guests = [_Guest(make_sshd_10(f"guest-{n}"), n) for n in range(GUESTS)]

    with ThreadPoolExecutor(2 * GUESTS) as pool:
        booting = [pool.submit(guest.boot) for guest in guests]
        waiting = [pool.submit(guest.wait, via, ledger) for guest in guests]
        for task in (*booting, *waiting):
            task.result(300)

    logs = [(tmp_path / f"guest-{n}" / "log").read_text() for n in range(GUESTS)]
    assert not [log for log in logs if BAN in log]


def test_penalty_is_named_and_waited_out(
    make_sshd_10: MakeServer, tmp_path: Path
) -> None:
    server = make_sshd_10("guest")
    server.start()
    stranger = server.transport(host_key=keygen(tmp_path / "other"))

    log = tmp_path / "guest" / "log"

    def is_banned() -> bool:
        with contextlib.suppress(HostUnreachable):
            stranger.require_answer(HASTY, scope=Scope())
        return "activating" in log.read_text()

    wait_until(is_banned)
    machine = server.transport("guest", failures=Failures(tmp_path / "failures.json"))
    with pytest.raises(TemporarilyRefused, match="accepts no SSH connection") as named:
        machine.require_answer(HASTY, scope=Scope())

    assert "Wait" in named.value.hint
    machine.require_answer(PATIENT, scope=Scope())


class _Guest:
    """A server that starts late, knows our key later, and is ready last."""

    def __init__(self, server: Server, number: int) -> None:
        self.server = server
        self.folder = Path(server.argv[-1])
        self.number = number
        self.seen: list[str] = []

    def boot(self) -> None:
        """Take some seconds; every other guest has our key only after a while."""
        keys = self.folder / "authorized"
        key = keys.read_bytes()
        if self.number % 2:
            keys.write_bytes(b"")
        time.sleep(self.number * 0.2)
        self.server.process = subprocess.Popen(
            self.server.argv, stdin=subprocess.DEVNULL
        )
        time.sleep(3)
        if self.number % 2:  # a busy machine may start it later
            wait_until(self._was_refused, timeout_s=240)
        keys.write_bytes(key)
        time.sleep(5)
        (self.folder / "ready").touch()

    def _was_refused(self) -> bool:
        return any("refuses the login" in words for words in self.seen)

    def wait(self, via: SSHTransport, ledger: Failures) -> None:
        """Ask as the product does, until the guest is ready."""
        guest = self.server.transport(via=via, failures=ledger)
        wait_until(lambda: self._is_ready(guest), timeout_s=240)

    def _is_ready(self, guest: SSHTransport) -> bool:
        task = SimpleNamespace(
            scope=Scope(),
            state=None,
            host=SimpleNamespace(state=SimpleNamespace(boots_guests=False)),
            hosts=SimpleNamespace(guest=lambda state, guest, host_key: guest),
        )
        test = command("test", "-e", "/mnt/ready")
        seen = reaching._attempt(cast("Task", task), guest, test)
        time.sleep(reaching.PROBE_EVERY_S)
        if not isinstance(seen, Symptom):
            return True
        assert not seen.is_temporary
        self.seen.append(seen.words)
        return False
