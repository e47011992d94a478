"""Connections for tests of the libvirt provider."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.providers.libvirt import domains, networks
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.ownership import GuestDomain
from orchestration.state.model import GuestState
from tests.orchestration.providers.libvirt.private_host import (
    PrivateHost,
    why_not_possible,
)
from tests.orchestration.providers.libvirt.samples import build_guest, open_simulated


@pytest.fixture
def simulated(tmp_path: Path) -> Iterator[Connection]:
    connection = open_simulated(tmp_path)
    yield connection
    connection.close()


@pytest.fixture(scope="session")
def private_host() -> Iterator[PrivateHost]:
    reason = why_not_possible()
    if reason:
        pytest.skip(reason)
    host = PrivateHost()
    yield host
    host.stop()


@pytest.fixture
def conn(private_host: PrivateHost) -> Iterator[Connection]:
    """The private libvirtd; whatever a test leaves there is removed."""
    connection = Connection(private_host.socket_uri, machine="host-a")
    yield connection
    for facts in domains.observe(connection):
        domain = GuestDomain(facts.testbed, facts.guest, facts.name, facts.uuid)
        domains.destroy(connection, domain)
        domains.undefine(connection, domain)
    for network in networks.observe(connection):
        networks.delete(connection, network.name, testbed=network.testbed)


@pytest.fixture
def guest(private_host: PrivateHost) -> GuestState:
    """A guest with an empty disk: it runs and never boots."""
    folder = private_host.directory / "guests"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    state = build_guest(folder=str(folder))
    create = ["qemu-img", "create", "-q", "-f", "qcow2", state.disk, "64M"]
    subprocess.run(create, check=True)
    Path(state.seed).write_bytes(bytes(1 << 20))
    return state
