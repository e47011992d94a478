"""Moments are shown in the terminal's own zone, and name it."""

import time

import pytest

from testbed.client.board.moments import moment


@pytest.mark.parametrize(
    ("zone", "shown"),
    [
        ("UTC", "2026-07-01 12:30 UTC"),
        ("Europe/Berlin", "2026-07-01 14:30 CEST"),
        ("America/New_York", "2026-07-01 08:30 EDT"),
    ],
)
def test_moment_names_its_zone(
    zone: str, shown: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setenv("TZ", zone)
        time.tzset()
        found = moment("2026-07-01T12:30:59Z"), moment("2026-07-01T14:30:59+02:00")
    time.tzset()

    assert found == (shown, shown)


def test_no_moment_is_empty() -> None:
    assert moment(None) == ""
