"""Many resources on one host, for tests of how the engine works on many tasks at once.

The fixture `many_resources` in conftest.py is one instruction on RESOURCE_COUNT of them;
a test gives the action that is done to each.
"""

import pytest

from orchestration.instructions.table import ACTIONS
from orchestration.plan.model import Kind

RESOURCE_COUNT = 40


def obey_with(monkeypatch: pytest.MonkeyPatch, action: object) -> None:
    monkeypatch.setitem(ACTIONS, Kind.INIT, action)
