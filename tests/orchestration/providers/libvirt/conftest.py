"""Connections for tests of the libvirt provider."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.providers.libvirt.connection import Connection
from tests.orchestration.providers.libvirt.private_host import (
    PrivateHost,
    why_not_possible,
)
from tests.orchestration.providers.libvirt.samples import open_simulated


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
