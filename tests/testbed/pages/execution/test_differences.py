"""Differences of two outputs are a unified diff, and bounded."""

from orchestration.events import Stream
from testbed.pages.execution.differences import MOST_LINES, difference

OUT, ERR = Stream.STDOUT, Stream.STDERR


def out(*texts):
    return [(OUT, text) for text in texts]


def test_lines_are_marked_as_added_and_removed():
    found = difference(out("a", "b", "c"), out("a", "x", "c"))

    assert found.lines == (
        ("place", "@@ -1,3 +1,3 @@"),
        ("same", " a"),
        ("removed", "-b"),
        ("added", "+x"),
        ("same", " c"),
    )
    assert not found.is_cut


def test_equal_outputs_have_no_lines():
    assert difference(out("a"), out("a")).lines == ()


def test_stream_is_part_of_a_line():
    found = difference(out("a"), [(ERR, "a")])

    assert [line for _, line in found.lines[1:]] == ["-a", "+stderr: a"]


def test_long_outputs_are_compared_by_their_first_lines():
    lines = [str(n) for n in range(MOST_LINES)]

    found = difference(out(*lines, "a"), out(*lines, "b"))

    assert (found.lines, found.compared, found.is_cut) == ((), MOST_LINES, True)


def test_outputs_of_equal_lines_are_compared_by_fewer():
    found = difference(out(*["x"] * 1500), out(*["x"] * 1500, "y"))

    assert found.is_cut
    assert found.compared < 500
