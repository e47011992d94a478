"""A host's image store, filled over a real SSH server, for the tests of this package.

The server is that of the transports' tests. A test that ends while a process on the
host still carries its tag fails.
"""

import os

import pytest

from orchestration.providers.transfer import layout, sender
from orchestration.transport.base import Scope
from tests.orchestration.providers.transfer.pushing import MIB, Push
from tests.orchestration.transport.conftest import carriers
from tests.waiting import wait_until


@pytest.fixture
def push(tmp_path, server) -> Push:
    return Push(tmp_path, server)


@pytest.fixture
def scope(request):
    """A scope whose tag nobody carries afterwards."""
    scope = Scope(f"t{os.getpid()}.{abs(hash(request.node.nodeid))}")
    yield scope
    wait_until(lambda: not carriers(scope.tag))


@pytest.fixture
def quick(monkeypatch):
    """Short pauses and small pieces, so that little data makes a long story."""
    monkeypatch.setattr(sender, "PAUSES_S", (0.01, 0.01, 0.01))
    monkeypatch.setattr(layout, "SEGMENT_BYTES", MIB)
