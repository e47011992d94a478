"""One product on two simulated hosts, for the tests that end its processes.

Each test starts again what it ended. Hosts are read and runs are swept every second.
"""

import shutil
from collections.abc import Iterator

import pytest

from tests.live.stack import Stack, simulated_stack

OFTEN = {"TESTBED_OBSERVE_EVERY_S": "1", "TESTBED_SWEEP_EVERY_S": "1"}


@pytest.fixture(scope="package", name="rehearsal")
def _rehearsal(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    if not shutil.which("redis-server"):
        pytest.skip("not installed: redis-server")
    with simulated_stack(tmp_path_factory.mktemp("rehearsal"), **OFTEN) as stack:
        stack.add_user("olive", "owner")
        yield stack
