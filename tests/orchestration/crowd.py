"""Many resources on main, for tests of what the engine does with many tasks at once.

The fixture `crowd` in conftest.py is one instruction with so many resources; what is
done to each of them is the test's own action.
"""

import pytest

from orchestration.instructions.table import ACTIONS
from orchestration.plan.model import Kind

CROWD = 40


def obey_with(monkeypatch: pytest.MonkeyPatch, action: object) -> None:
    monkeypatch.setitem(ACTIONS, Kind.INIT, action)
