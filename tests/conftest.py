"""Options and fixtures of the whole suite."""

import os

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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regenerate",
        action="store_true",
        help="write the expected files anew; review the difference before committing",
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    return golden_checker(regenerate=bool(request.config.getoption("--regenerate")))
