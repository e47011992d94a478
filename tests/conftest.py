"""Options and fixtures of the whole suite.

`--lane` is for script/test, which runs the suite as four processes side by side: two
with real hosts of their own, each one test at a time, the other live tests, and the unit
tests.
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
    MORE_HOSTS = "more-hosts"
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
        help="hosts, more-hosts: each half of what runs on the real hosts; "
        "live: other live tests; unit: the rest",
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
    lanes = {item: lane_of(item) for item in items}
    files = sorted({item.path for item, lane in lanes.items() if lane is Lane.HOSTS})
    second_half = set(files[1::2])
    for item, lane in lanes.items():
        if lane is Lane.HOSTS and item.path in second_half:
            lanes[item] = Lane.MORE_HOSTS
    config.hook.pytest_deselected(items=[i for i in items if lanes[i] is not chosen])
    items[:] = [item for item in items if lanes[item] is chosen]


def pytest_collection_finish() -> None:
    """Keep the garbage collector from going through all modules and tests each time."""
    gc.collect()
    gc.freeze()


def lane_of(item: pytest.Item) -> Lane:
    """Return the lane of a test: the fixture `stack` is the real hosts."""
    if "stack" in getattr(item, "fixturenames", ()):
        return Lane.HOSTS
    marks = map(item.get_closest_marker, ("live", "browser"))
    return Lane.LIVE if any(marks) else Lane.UNIT


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    return golden_checker(regenerate=bool(request.config.getoption("--regenerate")))
