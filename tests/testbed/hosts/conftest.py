"""A testbed with a guest on each of two simulated hosts, planned but not up.

A test starts and stops guests by itself, as somebody past the product would, and looks
at what the next observation makes of it.
"""

import pytest

from orchestration.plan.model import Command, Options
from orchestration.state.model import State
from testbed.models import Testbed
from tests.testbed.conftest import Doors
from tests.testbed.preparing import prepare


@pytest.fixture
def state(testbed: Testbed, doors: Doors) -> State:
    """Guest `web` on main and guest `db` on host-b, as planned."""
    return prepare(testbed, Command.UP, Options())[0]
