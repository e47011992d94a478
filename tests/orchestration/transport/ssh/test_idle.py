"""Connections that nobody uses any more are given back, those in use never."""

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import paramiko
import pytest

from orchestration import hosts as hosts_module
from orchestration.hosts import IDLE_S, Hosts
from orchestration.state.model import State
from orchestration.transport.base import Completed, Scope, Transport, command
from orchestration.transport.ssh import connection as connection_module
from tests.orchestration.state.samples import build, machine, spec_of
from tests.orchestration.transport.conftest import Server
from tests.waiting import wait_until

TESTBEDS = 6
KEY = "ssh-ed25519 AAAAguest"


@pytest.fixture
def wait(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let seconds pass for whoever asks which connections are idle."""
    passed = [0.0]
    clock = SimpleNamespace(monotonic=lambda: time.monotonic() + sum(passed))
    monkeypatch.setattr(hosts_module, "time", clock)
    monkeypatch.setattr(connection_module, "time", clock)
    return passed.append


@pytest.fixture
def hosts(
    tmp_path: Path,
    server: Server,
    monkeypatch: pytest.MonkeyPatch,
    wait: Callable[[float], None],
) -> Iterator[Hosts]:
    """Hosts for which one real SSH server is every guest."""
    monkeypatch.setattr(Hosts, "_open_guest", lambda *args: server.transport())
    hosts = Hosts(tmp_path)
    yield hosts
    hosts.close()


def state_of(number: int) -> State:
    """One of many testbeds, with a guest `a` on main."""
    spec = spec_of(machine("a", "br0"), bridges=("br0",))
    return build(spec).model_copy(update={"testbed": f"lab-{number}"})


def guest(hosts: Hosts, number: int) -> Transport:
    state = state_of(number)
    return hosts.guest(state, state.guest("a"), host_key=KEY)


def links() -> set[threading.Thread]:
    """Return the threads that read from connections."""
    return {t for t in threading.enumerate() if isinstance(t, paramiko.Transport)}


def sockets(server: Server) -> int:
    """Count this process's connections to a server."""
    there, established = f":{server.port:04X}", "01"
    rows = [row.split() for row in Path("/proc/net/tcp").read_text().splitlines()[1:]]
    return sum(row[2].endswith(there) and row[3] == established for row in rows)


def test_worker_that_was_in_many_testbeds_keeps_no_thread_and_no_socket(
    hosts: Hosts, server: Server, scope: Scope, wait: Callable[[float], None]
) -> None:
    before = links()
    for number in range(TESTBEDS):
        guest(hosts, number).run(command("true"), scope=scope)
    mine = links() - before
    assert (len(mine), sockets(server)) == (TESTBEDS, TESTBEDS)

    wait(IDLE_S + 1)
    hosts.open(state_of(0).main)

    wait_until(lambda: not mine & links() and sockets(server) == 0)


def test_guest_that_is_used_now_and_then_stays_open(
    hosts: Hosts, server: Server, scope: Scope, wait: Callable[[float], None]
) -> None:
    kept, other = guest(hosts, 0), guest(hosts, 1)
    other.run(command("true"), scope=scope)
    for _ in range(3):
        kept.run(command("true"), scope=scope)
        wait(IDLE_S / 2)

    hosts.open(state_of(0).main)

    wait_until(lambda: sockets(server) == 1)
    # It is closed first, then forgotten; to ask for it meanwhile would keep it.
    wait_until(lambda: other not in hosts._guests.values())
    assert guest(hosts, 0) is kept
    assert guest(hosts, 1) is not other


def test_command_that_runs_for_long_is_not_cut_off(
    hosts: Hosts,
    server: Server,
    scope: Scope,
    tmp_path: Path,
    wait: Callable[[float], None],
) -> None:
    busy, idle, done = guest(hosts, 0), guest(hosts, 1), list[Completed]()
    idle.run(command("true"), scope=scope)
    script = f"touch {tmp_path}/on; until test -e {tmp_path}/off; do sleep 0.05; done"
    long = command("sh", "-c", f"{script}; echo over")
    thread = threading.Thread(
        target=lambda: done.append(busy.run(long, scope=scope, timeout_s=300))
    )
    thread.start()
    try:
        wait_until(lambda: (tmp_path / "on").exists())
        wait(2 * IDLE_S)
        hosts.open(state_of(0).main)
        wait_until(lambda: sockets(server) == 1)
    finally:
        (tmp_path / "off").touch()
        thread.join()

    assert [completed.stdout for completed in done] == ["over\n"]
    assert guest(hosts, 0) is busy


def test_idle_connection_that_was_closed_is_dialled_again(
    hosts: Hosts, server: Server, scope: Scope, wait: Callable[[float], None]
) -> None:
    held = guest(hosts, 0)
    held.run(command("true"), scope=scope)
    wait(IDLE_S + 1)
    hosts.open(state_of(0).main)
    wait_until(lambda: sockets(server) == 0)

    assert held.run(command("echo", "again"), scope=scope).stdout == "again\n"
    held.close()
