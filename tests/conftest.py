"""Options and fixtures of the whole suite.

`--lane` is for script/test, which runs the suite as three processes side by side: one
test at a time on the real hosts, the other live tests with those that are marked
`beside` on hosts of their own, and the unit tests.
"""

import faulthandler
import gc
import os
import signal
from enum import StrEnum
from types import FrameType

import pytest
from hypothesis import HealthCheck, settings

from tests.golden import Golden, golden_checker

# No example is late on a busy machine; in CI, the same examples every time.
settings.register_profile(
    "suite",
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=bool(os.environ.get("CI")),
)
settings.load_profile("suite")

# What is interrupted has so long to end the daemons that it started.
GRACE_S = 60


class Lane(StrEnum):
    """The part of the suite that a process runs."""

    HOSTS = "hosts"
    LIVE = "live"
    UNIT = "unit"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regenerate",
        action="store_true",
        help="write the expected files anew; review the difference before committing",
    )
    parser.addoption(
        "--lane",
        type=Lane,
        help="hosts: what runs on the real hosts; live: other live tests; unit: the rest",
    )


def pytest_configure() -> None:
    """Let SIGTERM end what was started, too, as an interrupt from the keyboard does."""
    signal.signal(signal.SIGTERM, _end)


def _end(number: int, frame: FrameType | None) -> None:
    # Threads that wait for the interrupted test would hold the process for ever.
    faulthandler.dump_traceback_later(GRACE_S, exit=True)
    signal.default_int_handler(number, frame)


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out the tests of the other lanes."""
    if (chosen := config.getoption("--lane")) is None:
        return
    others = [item for item in items if lane_of(item) is not chosen]
    config.hook.pytest_deselected(items=others)
    mine = [item for item in items if lane_of(item) is chosen]
    # Hosts are looked at while they are there: those of this lane come up last.
    items[:] = sorted(mine, key=needs_hosts) if chosen is Lane.LIVE else mine


def pytest_collection_finish() -> None:
    """Keep the garbage collector from going through all modules and tests each time."""
    gc.collect()
    gc.freeze()


def needs_hosts(item: pytest.Item) -> bool:
    """Return whether a test asks for the real hosts: the fixture `stack`."""
    return "stack" in getattr(item, "fixturenames", ())


def lane_of(item: pytest.Item) -> Lane:
    """Return the lane of a test; those marked `beside` keep the others' hosts free."""
    if needs_hosts(item) and item.get_closest_marker("beside") is None:
        return Lane.HOSTS
    marks = map(item.get_closest_marker, ("live", "browser"))
    return Lane.LIVE if any(marks) else Lane.UNIT


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    return golden_checker(regenerate=bool(request.config.getoption("--regenerate")))
