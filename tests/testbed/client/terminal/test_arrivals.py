"""How much of a large file has arrived: one line on a terminal, few lines elsewhere."""

import io

import pytest

from testbed.client.terminal.synchronising import Arrivals
from testbed.client.terminal.tables import say

MIB = 1024**2


def test_log_gets_a_line_each_few_seconds_and_what_is_kept() -> None:
    said, times = [], iter([100.0, 100.0, 105.0, 111.0, 111.0])
    kept = "and are kept for a day: the next sync goes on there."
    arrivals = Arrivals(said.append, lambda: next(times))

    for arrived in (0, 16, 32):
        arrivals("disk.img", arrived * MIB, 40 * MIB)
    arrivals.end()

    assert said == [
        "disk.img: 0 B of 40.0 MiB arrived.",
        "disk.img: 32.0 MiB of 40.0 MiB arrived.",
        f"disk.img: 32.0 MiB of 40.0 MiB arrived, {kept}",
    ]


def test_file_that_arrived_whole_has_no_rest() -> None:
    said = []
    arrivals = Arrivals(said.append)

    arrivals("disk.img", 40, 40)
    arrivals.end()

    assert said == []


def test_terminal_has_one_line_that_is_written_anew(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Screen(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stderr", screen := Screen())
    arrivals = Arrivals(say)

    arrivals("a\x1b[2J.img", 16 * MIB, 40 * MIB)
    arrivals("a\x1b[2J.img", 40 * MIB, 40 * MIB)
    arrivals.end()

    assert screen.getvalue() == (
        "\ra.img: 16.0 MiB of 40.0 MiB, 40 %\x1b[K"
        "\ra.img: 40.0 MiB arrived, 100 %\x1b[K\n"
    )
