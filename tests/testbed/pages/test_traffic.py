"""The traffic of an interface in steps and words."""

from datetime import UTC, datetime, timedelta

import pytest

from testbed.pages.traffic import Rate, sum_of

AT = datetime(2026, 11, 27, 16, 5, 7, tzinfo=UTC)


@pytest.mark.parametrize(
    ("received", "sent", "step", "words"),
    [
        (0, 0, 0, "under 1 KiB/s each way"),
        (1000, 1023.9, 0, "under 1 KiB/s each way"),
        (0, 1024, 1, "received under 1 KiB/s, sent 1.0 KiB/s"),
        (150_000, 3000, 2, "received 146 KiB/s, sent 2.9 KiB/s"),
        (2e6, 5e7, 3, "received 1.9 MiB/s, sent 48 MiB/s"),
    ],
)
def test_busier_way_decides_the_step(
    received: float, sent: float, step: int, words: str
):
    rate = Rate(received, sent, AT, 10)

    assert (rate.step, rate.words) == (step, words)


def test_way_that_carries_little_has_no_label():
    rate = Rate(2e6, 300, AT, 10)

    assert (rate.received_label, rate.sent_label) == ("↓1.9 MiB/s", "")


def test_sum_is_over_the_time_of_all():
    later = AT + timedelta(seconds=4)

    total = sum_of([Rate(10, 1, AT, 10), Rate(20, 2, later, 9)])

    assert total == Rate(30, 3, later, 14)
    assert total.since == AT - timedelta(seconds=10)
    assert sum_of([]) is None
