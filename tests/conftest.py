"""Options and fixtures of the whole suite.

`--lane` is for script/test, which runs the suite as three processes side by side. They
take about as long as each other; two of them have real hosts, each of its own.
"""

import faulthandler
import gc
import os
import signal
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

# Fixtures: the product on simulated hosts and on real ones, and a database server.
PRODUCTS = frozenset({"product", "stack"})
SIMULATED = frozenset({"product", "cluster"})
LIVE_MARKS = ("live", "browser")
PAIR = Path(__file__).parent / "live" / "pair"
# What is interrupted has so long to end the daemons that it started.
GRACE_S = 60


class Lane(StrEnum):
    """The part of the suite that a process runs.

    `hosts`: testbeds on real hosts, and the daemons of a host. `pair`: the machines that
    tests make, then the two guests that files share. `web`: unit tests, then the web and
    its pages on simulated hosts.
    """

    HOSTS = "hosts"
    PAIR = "pair"
    WEB = "web"


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

    Nearly all that is collected stays: until then there is no garbage to look for.
    """
    signal.signal(signal.SIGTERM, _end)
    gc.disable()


def _end(number: int, frame: FrameType | None) -> None:
    # Threads that wait for the interrupted test would hold the process for ever.
    faulthandler.dump_traceback_later(GRACE_S, exit=True)
    signal.default_int_handler(number, frame)


def pytest_ignore_collect(
    collection_path: Path, config: pytest.Config
) -> Literal[True] | None:
    """Spare the lanes of live tests the import of files that have none of these."""
    if config.getoption("--lane") in (None, Lane.WEB):
        return None
    named = {Path(word.split("::")[0]).resolve() for word in config.args}
    if not collection_path.match("test_*.py") or collection_path in named:
        return None
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
    # What runs until the end of a process begins late: products, then a browser.
    items[:] = sorted(mine, key=lambda item: (starts_a_product(item), shows(item)))


def pytest_collection_finish() -> None:
    """Keep the garbage collector from going through all modules and tests each time."""
    gc.collect()
    gc.freeze()
    gc.enable()


def starts_a_product(item: pytest.Item) -> bool:
    """Return whether a test asks for a product that its process keeps."""
    return not PRODUCTS.isdisjoint(getattr(item, "fixturenames", ()))


def shows(item: pytest.Item) -> bool:
    """Return whether a test has a browser, on the simulated product that stays."""
    return {"product", "chromium"} <= set(getattr(item, "fixturenames", ()))


def lane_of(item: pytest.Item) -> Lane:
    """Return the lane of a test."""
    fixtures = set(getattr(item, "fixturenames", ()))
    is_live = any(map(item.get_closest_marker, LIVE_MARKS))
    if not is_live or fixtures & SIMULATED:
        return Lane.WEB
    if item.path.is_relative_to(PAIR):
        return Lane.PAIR
    is_of_hosts = "stack" in fixtures or not item.path.is_relative_to(PAIR.parent)
    return Lane.HOSTS if is_of_hosts else Lane.PAIR


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    return golden_checker(regenerate=bool(request.config.getoption("--regenerate")))
