"""Sizes, speeds and remaining times as they are read."""

import pytest

from orchestration.amounts import progress_line, size, so_far, speed, time_left

MIB = 1024 * 1024


def test_sizes():
    assert [size(n) for n in (0, 1023, 1536, 5 * 1024**3)] == [
        "0 B",
        "1023 B",
        "1.5 KiB",
        "5.0 GiB",
    ]


@pytest.mark.parametrize(
    ("done", "total", "unit", "shown"),
    [
        (48 * MIB, 200 * MIB, "B", "48 of 200 MiB"),
        (0, 2 * MIB, "B", "0.0 of 2.0 MiB"),
        (1500 * MIB, 3 * 1024 * MIB, "B", "1.5 of 3.0 GiB"),
        (5, 900, "B", "5 of 900 B"),
        (201 * MIB, 200 * MIB, "B", "200 of 200 MiB"),
        (7 * MIB, 0, "B", "7.0 MiB"),
        (12, 120, "s", "12 of 120 s"),
        (12, 0, "s", "12 s"),
    ],
)
def test_how_far(done: int, total: int, unit: str, shown: str):
    assert so_far(done, total, unit) == shown


@pytest.mark.parametrize(
    ("rate", "shown"),
    [
        (0, "waiting for data"),
        (900, "900 B/s"),
        (3 * MIB // 2, "1.5 MiB/s"),
        (92 * MIB, "92 MiB/s"),
    ],
)
def test_speeds(rate: int, shown: str):
    assert speed(rate) == shown


@pytest.mark.parametrize(
    ("left_s", "shown"),
    [
        (None, ""),
        (0, "finishing"),
        (59, "59 s left"),
        (61, "2 min left"),
        (3600, "1 h 00 min left"),
        (7501, "2 h 06 min left"),
    ],
)
def test_remaining_times(left_s: int | None, shown: str):
    assert time_left(left_s) == shown


def test_line_of_a_copy_and_of_a_wait():
    copy = {"done": 48 * MIB, "total": 200 * MIB, "unit": "B", "note": "copy"}
    wait = {"done": 3, "total": 120, "unit": "s", "note": ""}

    assert (
        progress_line(copy | {"rate": 92 * MIB, "left_s": 2})
        == "copy: 48 of 200 MiB · 92 MiB/s · 2 s left"
    )
    assert progress_line(wait | {"rate": 0, "left_s": None}) == "3 of 120 s"
