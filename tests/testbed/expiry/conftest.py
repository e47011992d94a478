"""A testbed that is up, the times of the lab, and a clock that tests move."""

from datetime import UTC, datetime, timedelta

import pytest

from testbed.environment import ExpiryTimes
from testbed.models import Expiry, Testbed
from tests.testbed.conftest import Doors

HOUR = timedelta(hours=1)
NOW = datetime(2026, 11, 28, 12, tzinfo=UTC)
TIMES = ExpiryTimes(72 * HOUR, 240 * HOUR, 24 * HOUR, 0 * HOUR)


@pytest.fixture(autouse=True)
def times(settings: object) -> None:
    settings.EXPIRY = TIMES
    settings.EMAIL_HOST = ""


@pytest.fixture
def lab(generated: Testbed, doors: Doors) -> Testbed:
    Testbed.objects.update(condition=Testbed.Condition.UP)
    generated.refresh_from_db()
    return generated


@pytest.fixture
def due(lab: Testbed) -> Expiry:
    """The end of the testbed, which is at NOW and was announced in time."""
    return Expiry.objects.create(
        testbed=lab,
        expires_at=NOW,
        warned_at=NOW - 24 * HOUR,
        seen_at=NOW - timedelta(seconds=30),
    )


def end_of(lab: Testbed) -> Expiry:
    return Expiry.objects.get(testbed=lab)
