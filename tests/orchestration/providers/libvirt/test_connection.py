"""A connection that opens late, comes back, and never crosses a fork."""

import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor

import libvirt
import pytest

from orchestration.errors import HostUnreachable, LibvirtFailed
from orchestration.providers.libvirt import connection as module
from orchestration.providers.libvirt.connection import Connection


def failure(code: int, text: str = "it broke") -> libvirt.libvirtError:
    error = libvirt.libvirtError(text)
    error.err = (code, libvirt.VIR_FROM_RPC, text, 2, None, None, None, -1, -1)
    return error


class Handle:
    """A virConnect whose daemon can be killed."""

    def __init__(self) -> None:
        self.alive = True

    def isAlive(self) -> int:  # noqa: N802
        return int(self.alive)

    def getLibVersion(self) -> int:  # noqa: N802
        if not self.alive:
            raise failure(libvirt.VIR_ERR_SYSTEM_ERROR)
        return 9_000_000

    def work(self, *, dies: bool = False) -> str:
        if dies:
            self.alive = False
        if not self.alive:
            raise failure(libvirt.VIR_ERR_SYSTEM_ERROR, "End of file")
        return "done"


class Daemon:
    """Stands in for libvirt.open; `handles` are the connections it gave."""

    def __init__(self) -> None:
        self.handles: list[Handle] = []
        self.refusal: libvirt.libvirtError | None = None
        self.asked = 0
        self.delay_s = 0.0

    def open(self, _uri: str) -> Handle:
        self.asked += 1
        time.sleep(self.delay_s)
        if self.refusal is not None:
            raise self.refusal
        self.handles.append(Handle())
        return self.handles[-1]


@pytest.fixture
def daemon(monkeypatch: pytest.MonkeyPatch) -> Daemon:
    fake = Daemon()
    monkeypatch.setattr(libvirt, "open", fake.open)
    return fake


@pytest.fixture
def conn() -> Connection:
    return Connection("qemu:///system", machine="host-a")


def test_nothing_is_opened_before_the_first_call(
    daemon: Daemon, conn: Connection
) -> None:
    assert daemon.asked == 0

    assert conn.call("work", Handle.work) == "done"
    assert conn.call("work", Handle.work) == "done"
    assert daemon.asked == 1


def test_preparation_runs_before_each_opening(daemon: Daemon) -> None:
    seen: list[int] = []
    conn = Connection(
        "x:///", machine="host-a", prepare=lambda: seen.append(daemon.asked)
    )

    conn.call("work", Handle.work)
    conn.close()
    conn.call("work", Handle.work)

    assert seen == [0, 1]


def test_read_on_a_dying_connection_is_sent_again(
    daemon: Daemon, conn: Connection
) -> None:
    conn.call("work", Handle.work)

    first = daemon.handles[0]
    assert conn.call("work", lambda h: h.work(dies=h is first)) == "done"
    assert daemon.asked == 2


def test_change_on_a_dying_connection_is_not_sent_twice(
    daemon: Daemon, conn: Connection
) -> None:
    calls: list[Handle] = []

    def change(handle: Handle) -> str:
        calls.append(handle)
        return handle.work(dies=True)

    with pytest.raises(HostUnreachable, match="went away while") as caught:
        conn.call("start domain x", change, changes=True)

    assert len(calls) == 1
    assert caught.value.retryable
    assert conn.call("work", Handle.work) == "done"


def test_change_after_the_daemon_died_idle_uses_a_new_connection(
    daemon: Daemon, conn: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    conn.call("work", Handle.work)
    daemon.handles[0].alive = False
    monkeypatch.setattr(module, "IDLE_S", 0.0)

    assert conn.call("start domain x", Handle.work, changes=True) == "done"
    assert daemon.asked == 2


def test_daemon_that_dies_again_is_an_error_not_a_loop(
    daemon: Daemon, conn: Connection
) -> None:
    with pytest.raises(HostUnreachable, match="host-a went away"):
        conn.call("work", lambda handle: handle.work(dies=True))

    assert daemon.asked == 2


def test_refused_call_keeps_the_connection(daemon: Daemon, conn: Connection) -> None:
    def refuse(_handle: Handle) -> None:
        raise failure(libvirt.VIR_ERR_CONFIG_UNSUPPORTED, "no such device model")

    with pytest.raises(LibvirtFailed) as caught:
        conn.call("start domain lab-web", refuse)

    assert caught.value.message == (
        "libvirt on host host-a could not start domain lab-web."
    )
    assert caught.value.detail == "no such device model"
    conn.call("work", Handle.work)
    assert daemon.asked == 1


def test_daemon_that_comes_back_is_found(daemon: Daemon, conn: Connection) -> None:
    daemon.refusal = failure(libvirt.VIR_ERR_SYSTEM_ERROR, "Failed to connect socket")
    with pytest.raises(HostUnreachable, match="libvirt on host host-a does not answer"):
        conn.call("work", Handle.work)

    daemon.refusal = None
    assert conn.call("work", Handle.work) == "done"


def test_waiting_threads_share_one_failed_attempt(
    daemon: Daemon, conn: Connection
) -> None:
    daemon.refusal = failure(libvirt.VIR_ERR_SYSTEM_ERROR)
    daemon.delay_s = 0.5

    def attempt(_number: int) -> str:
        with pytest.raises(HostUnreachable) as caught:
            conn.call("work", Handle.work)
        return caught.value.message

    with ThreadPoolExecutor(8) as pool:
        messages = set(pool.map(attempt, range(8)))

    assert messages == {"libvirt on host host-a does not answer."}
    assert daemon.asked == 1


def test_errors_of_our_own_pass_through(daemon: Daemon, conn: Connection) -> None:
    def work(_handle: Handle) -> None:
        raise KeyError("ours")

    with pytest.raises(KeyError, match="ours"):
        conn.call("work", work)


FORK = """
import os, sys
from orchestration.providers.libvirt.connection import Connection
conn = Connection("test:///default", machine="host-a")
parent = conn.call("work", lambda handle: handle)
pid = os.fork()
if pid == 0:
    mine = conn.call("work", lambda handle: handle)
    os._exit(0 if mine is not parent and parent._o is None else 9)
status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
assert conn.call("work", lambda handle: handle) is parent
assert parent.getHostname()
sys.exit(status)
"""


def test_child_process_opens_its_own_connection() -> None:
    done = subprocess.run([sys.executable, "-c", FORK], capture_output=True, text=True)

    assert done.returncode == 0, done.stderr
