"""Options and fixtures of the whole suite."""

import pytest

from tests.golden import Golden, golden_checker


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--regenerate",
        action="store_true",
        help="write the expected files anew; review the difference before committing",
    )


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Golden:
    return golden_checker(regenerate=bool(request.config.getoption("--regenerate")))
