"""Options and fixtures of the whole suite.

`--lane` is for script/test, which runs the suite as five processes side by side. Two of
them have real hosts, each of its own.
"""

import faulthandler
import gc
import os
import signal
import zlib
from enum import StrEnum
from pathlib import Path
from types import FrameType
from typing import Literal

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

# Fixtures: products that a process keeps; products on simulated hosts, and a database
# server.
PRODUCTS = frozenset({"product", "stack"})
SIMULATED = frozenset({"product", "rehearsal", "lab", "sourced", "cluster"})
LIVE_MARKS = ("live", "browser")
PAIR = Path(__file__).parent / "live" / "pair"
# What is interrupted has so long to end the daemons that it started.
GRACE_S = 60
# New objects between two looks for garbage: tests leave few cycles, and memory is there.
YOUNG_OBJECTS = 20_000


class Lane(StrEnum):
    """The part of the suite that a process runs.

    `hosts`: testbeds on real hosts. `pair`: daemons and machines that tests start, then
    the two guests that files share. `web`: PostgreSQL, and the product with its pages on
    simulated hosts. `units-1` and `units-2`: half of the files each that need no daemon.
    """

    HOSTS = "hosts"
    PAIR = "pair"
    WEB = "web"
    UNITS_1 = "units-1"
    UNITS_2 = "units-2"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regenerate",
        action="store_true",
        help="write the expected files anew; review the difference before committing",
    )
    parser.addoption(
        "--lane",
        type=Lane,
        help="one of the parts that script/test runs side by side",
    )


def pytest_configure() -> None:
    """Let SIGTERM end what was started, too, as an interrupt from the keyboard does.

    A shell lets what it starts beside itself ignore interrupts, and so would the programs
    that tests interrupt. Nearly all that is collected stays: until then there is no
    garbage to look for.
    """
    signal.signal(signal.SIGTERM, _end)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    gc.disable()


def _end(number: int, frame: FrameType | None) -> None:
    # Threads that wait for the interrupted test would hold the process for ever.
    faulthandler.dump_traceback_later(GRACE_S, exit=True)
    signal.default_int_handler(number, frame)


def pytest_ignore_collect(
    collection_path: Path, config: pytest.Config
) -> Literal[True] | None:
    """Spare a lane the import of files that have none of its tests."""
    lane = config.getoption("--lane")
    named = {Path(word.split("::")[0]).resolve() for word in config.args}
    if (
        lane is None
        or collection_path in named
        or not collection_path.match("test_*.py")
    ):
        return None
    if lane in (Lane.UNITS_1, Lane.UNITS_2):
        return None if half_of(collection_path) is lane else True
    text = collection_path.read_text()
    return None if any(f"mark.{mark}" in text for mark in LIVE_MARKS) else True


def pytest_collection_modifyitems(
    config: pytest.Config, items: list[pytest.Item]
) -> None:
    """Leave out the tests of the other lanes."""
    if (chosen := config.getoption("--lane")) is None:
        return
    others = [item for item in items if lane_of(item) is not chosen]
    config.hook.pytest_deselected(items=others)
    mine = [item for item in items if lane_of(item) is chosen]
    # What runs until the end of a process begins late.
    items[:] = sorted(mine, key=starts_a_product)


def pytest_collection_finish() -> None:
    """Keep the garbage collector from going through all modules and tests each time."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS)
    gc.enable()


def starts_a_product(item: pytest.Item) -> bool:
    """Return whether a test asks for a product that its process keeps."""
    return not PRODUCTS.isdisjoint(getattr(item, "fixturenames", ()))


def lane_of(item: pytest.Item) -> Lane:
    """Return the lane of a test."""
    fixtures = set(getattr(item, "fixturenames", ()))
    is_live = any(map(item.get_closest_marker, LIVE_MARKS))
    if not is_live:
        return half_of(item.path)
    if fixtures & SIMULATED and "stack" not in fixtures:
        return Lane.WEB
    is_of_hosts = "stack" in fixtures and not item.path.is_relative_to(PAIR)
    return Lane.HOSTS if is_of_hosts else Lane.PAIR


def half_of(file: Path) -> Lane:
    """Return the lane of a file's unit tests; it stays when other files come or go."""
    name = str(file.relative_to(PAIR.parents[1]))
    return Lane.UNITS_2 if zlib.crc32(name.encode()) % 2 else Lane.UNITS_1


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    return golden_checker(regenerate=bool(request.config.getoption("--regenerate")))
