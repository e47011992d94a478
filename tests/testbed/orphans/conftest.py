"""The testbed, up on two simulated hosts and seen, and cleanups that reach them.

A test makes orphans of its things by losing its row or its state, or by adding things
that nobody knows.
"""

import pytest

from orchestration.hosts import Hosts
from orchestration.state.model import State
from testbed import cleanups
from testbed.models import Testbed
from testbed.orphans import deletion
from tests.testbed.conftest import Doors
from tests.testbed.deployment import come_up


@pytest.fixture
def kept(kept: Hosts, monkeypatch: pytest.MonkeyPatch) -> Hosts:
    for module in (cleanups, deletion):
        monkeypatch.setattr(module, "kept_hosts", lambda: kept)
    return kept


@pytest.fixture
def state(testbed: Testbed, kept: Hosts, doors: Doors) -> State:
    """The testbed, up on both hosts and seen."""
    return come_up(testbed, kept)
