"""Connections to a real libvirtd: its socket, ssh, restarts and forks."""

import subprocess
import sys
from pathlib import Path

import pytest

from orchestration.errors import AuthenticationRefused, HostKeyMismatch, HostUnreachable
from orchestration.hosts import Hosts
from orchestration.providers.libvirt import domains
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.facts.node import node_facts
from orchestration.state.model import HostState
from tests.orchestration.providers.libvirt.private_host import PrivateHost

pytestmark = pytest.mark.live


def test_facts_of_a_real_host(conn: Connection) -> None:
    facts = node_facts(conn)

    meminfo = Path("/proc/meminfo").read_text().split()
    assert facts.hypervisor == "QEMU"
    assert facts.memory_mib == int(meminfo[1]) >> 10
    assert 0 < facts.free_memory_mib <= facts.memory_mib


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_remote_host_is_reached_by_its_pinned_key(
    private_host: PrivateHost, tmp_path: Path, family: str
) -> None:
    address = getattr(private_host, family)
    conn = reach(remote(private_host, address=address), tmp_path)

    assert node_facts(conn).hypervisor == "QEMU"
    conn.close()


def test_another_host_key_is_refused_by_name(
    private_host: PrivateHost, tmp_path: Path
) -> None:
    other = private_host.public_key("other_key")
    conn = reach(remote(private_host, host_key=other), tmp_path)

    with pytest.raises(HostKeyMismatch, match="host-b answered with another host key"):
        domains.observe(conn)


def test_another_login_key_is_refused(
    private_host: PrivateHost, tmp_path: Path
) -> None:
    identity = str(private_host.directory / "other_key")
    conn = reach(remote(private_host, identity_file=identity), tmp_path)

    with pytest.raises(AuthenticationRefused, match="host-b does not let root in"):
        domains.observe(conn)


def test_host_without_sshd_is_unreachable(
    private_host: PrivateHost, tmp_path: Path
) -> None:
    conn = reach(remote(private_host, port=9), tmp_path)

    with pytest.raises(HostUnreachable, match="no server listens on that port"):
        domains.observe(conn)


def test_restarted_daemon_is_found_again(
    private_host: PrivateHost, tmp_path: Path
) -> None:
    local = Connection(private_host.socket_uri, machine="host-a")
    over_ssh = reach(remote(private_host), tmp_path)
    for conn in (local, over_ssh):
        assert domains.observe(conn) == ()

    private_host.restart_libvirtd()

    for conn in (local, over_ssh):
        assert domains.observe(conn) == ()


FORK = """
import os, sys
from orchestration.hosts import Hosts
from orchestration.providers.libvirt import domains
from orchestration.providers.libvirt.connection import Connection
conn = Connection(sys.argv[1], machine="host-a")
assert domains.observe(conn) == ()
pid = os.fork()
if pid == 0:
    assert domains.observe(conn) == ()
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
attempts = conn._attempts
for _ in range(20):
    assert domains.observe(conn) == ()
assert conn._attempts == attempts == 1
"""


def test_connection_outlives_a_forked_child_that_exits(
    private_host: PrivateHost,
) -> None:
    argv = [sys.executable, "-c", FORK, private_host.socket_uri]

    done = subprocess.run(argv, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


def remote(private_host: PrivateHost, **changes: object) -> HostState:
    state = HostState(
        name="host-b",
        address=private_host.ipv4,
        identity_file=str(private_host.directory / "id"),
        host_key=private_host.public_key("host_key"),
    )
    return state.model_copy(update=changes)


def reach(host: HostState, directory: Path) -> Connection:
    return Hosts(directory).open(host).libvirt
