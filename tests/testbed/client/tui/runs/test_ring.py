"""The kept lines of a log: bounded, read once, filtered by resource and text."""

import pytest

from testbed.client.board.model import Line
from testbed.client.tui.runs.ring import Ring, Wanted


def lines(begin: int, end: int) -> list[Line]:
    return [Line("web", "stdout", str(number)) for number in range(begin, end)]


def test_reader_gets_each_line_once() -> None:
    ring = Ring(100)
    ring.add(lines(0, 5))

    first, seen = ring.after(0)
    ring.add(lines(5, 8))
    second, seen = ring.after(seen)

    assert [line.text for line in first + second] == [str(n) for n in range(8)]
    assert ring.after(seen) == ([], 8)


def test_oldest_lines_give_way() -> None:
    ring = Ring(100)
    for begin in range(0, 1000, 7):
        ring.add(lines(begin, begin + 7))

    kept, seen = ring.after(0)

    assert len(kept) == 100
    assert (kept[-1].text, seen, ring.total) == ("1000", 1001, 1001)


def test_reader_that_is_late_gets_the_kept_lines() -> None:
    ring = Ring(10)
    ring.add(lines(0, 3))
    _, seen = ring.after(0)
    ring.add(lines(3, 500))

    assert [line.text for line in ring.after(seen)[0]] == [
        str(n) for n in range(490, 500)
    ]


@pytest.mark.parametrize(
    ("wanted", "is_taken"),
    [
        (Wanted(), True),
        (Wanted("web"), True),
        (Wanted("WEB-*"), True),
        (Wanted("web-[2-3]"), False),
        (Wanted("", "ERROR"), True),
        (Wanted("db", "error"), False),
        (Wanted("", "[b]"), False),
    ],
)
def test_filter_takes_parts_and_patterns(wanted: Wanted, is_taken: bool) -> None:
    assert wanted.takes(Line("web-1", "stdout", "an error")) == is_taken
