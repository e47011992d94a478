"""A server that sends more than SSH lets it is cut off, and costs no memory."""

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import paramiko
import pytest

from orchestration.errors import HostUnreachable
from orchestration.events import Stream
from orchestration.transport.base import Scope, command
from orchestration.transport.ssh.connection import Wake
from orchestration.transport.ssh.limits import ProtocolBroken
from orchestration.transport.ssh.session import Session
from tests.orchestration.transport.conftest import Server, free_port, keygen
from tests.orchestration.transport.ssh import hostile_server
from tests.waiting import wait_until

GROWTH_MIB = 64


@pytest.fixture
def make_hostile(tmp_path: Path) -> Iterator[Callable[[str], Server]]:
    """Start a hostile server with one kind of flood."""
    servers: list[Server] = []

    def make(flood: str) -> Server:
        host_key, port = keygen(tmp_path / "host"), free_port()
        keygen(tmp_path / "id")
        argv = [sys.executable, "-m", hostile_server.__name__]
        argv += [str(tmp_path / "host"), str(port), flood, str(tmp_path / "held")]
        server = Server(argv, port, host_key, tmp_path / "id")
        servers.append(server)
        server.process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        assert server.process.stdout is not None
        assert server.process.stdout.readline() == b"listens\n"
        return server

    yield make
    for server in servers:
        for transport in server.transports:
            transport.close()
        assert server.process is not None
        server.process.kill()
        server.process.communicate()


def peak_mib() -> int:
    """Return the most memory that this process had since the peak was reset."""
    status = Path("/proc/self/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


@pytest.mark.parametrize("flood", list(hostile_server.FLOODS))
def test_peer_that_sends_more_than_it_may_is_cut_off_and_named(
    make_hostile: Callable[[str], Server], scope: Scope, flood: str
) -> None:
    machine = make_hostile(flood).transport("web-1")
    Path("/proc/self/clear_refs").write_text("5")
    before = peak_mib()

    def read_late(_: Stream, line: str) -> None:
        wait_until(lambda: not machine.connection.is_alive())

    with pytest.raises(HostUnreachable, match=r"web-1 .*broke the SSH protocol: it"):
        machine.run(command("true"), scope=scope, on_line=read_late)

    assert peak_mib() - before <= GROWTH_MIB


def test_server_that_broke_the_protocol_before_the_request_is_not_dialled_again(
    make_hostile: Callable[[str], Server], tmp_path: Path
) -> None:
    (tmp_path / "held").touch()
    machine = make_hostile("data").transport("web-1")
    opened: list[paramiko.Channel] = []

    def open_channel() -> paramiko.Channel:
        opened.append(machine.connection.open(Wake(), never))
        return opened[-1]

    session = Session(open_channel, Wake(), stdout=ignore, stderr=ignore)
    (tmp_path / "held").unlink()
    wait_until(lambda: opened[0].closed)

    with pytest.raises(ProtocolBroken, match="it sent"):
        session.start("true", never)
    assert len(opened) == 1


def never() -> bool:
    """Stand for a run that is not cancelled."""
    return False


def ignore(data: bytes) -> None:
    """Take output."""
