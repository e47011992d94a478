"""Text files come back from a browser as the bytes that they were."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from testbed.testbeds.texts import MAX_TEXT_BYTES, is_text, put_back, read_text

ENDS = st.sampled_from(["\n", "\r\n", "\r"])


def through_browser(text: str) -> str:
    """A form sends every line end as CRLF."""
    return text.replace("\n", "\r\n")


@given(
    lines=st.lists(st.tuples(st.sampled_from(["", "a", "b: é"]), ENDS), max_size=9),
    last=st.sampled_from(["", "end"]),
    mark=st.sampled_from([b"", b"\xef\xbb\xbf"]),
)
def test_unchanged_text_is_the_same_bytes(
    lines: list[tuple[str, str]], last: str, mark: bytes
):
    content = mark + ("".join(line + end for line, end in lines) + last).encode()

    shown = read_text(content)

    assert shown is not None
    assert put_back(through_browser(shown.text), content) == content


@pytest.mark.parametrize(
    ("before", "typed", "after"),
    [
        (b"a\r\nb\r\n", "a\nnew\nb\n", b"a\r\nnew\r\nb\r\n"),
        (b"a\nb\n", "a\nb\nc\n", b"a\nb\nc\n"),
        (b"a\r\nb", "a\nb\n", b"a\r\nb\r\n"),
        (b"a\r\nb\r\n", "a\nb", b"a\r\nb"),
        (b"\xef\xbb\xbfa\n", "b\n", b"\xef\xbb\xbfb\n"),
        (b"a\r\nb\nc\nd\n", "a\nB\nc\nd\n", b"a\nB\nc\nd\n"),
        (b"a\r\nb\nc\nd\n", "a\nb\nc\nd\n", b"a\r\nb\nc\nd\n"),
        (b"", "a\nb", b"a\nb"),
        (b"a\r\n", "", b""),
    ],
)
def test_changed_text_keeps_the_files_conventions(
    before: bytes, typed: str, after: bytes
):
    assert put_back(through_browser(typed), before) == after


@pytest.mark.parametrize(
    "content", [b"\0", b"a\xff", b"\x7fELF\0", b"x" * (MAX_TEXT_BYTES + 1)]
)
def test_binary_and_huge_files_are_not_edited(content: bytes):
    assert read_text(content) is None


def test_long_text_is_still_text():
    assert is_text(b"x" * (MAX_TEXT_BYTES + 1))


@pytest.mark.parametrize(
    ("content", "remarks"),
    [
        (b"a\n", ()),
        (b"a\r\n", ("CRLF",)),
        (b"a\r\nb\n", ("mixed line ends, which a change makes the same",)),
        (b"\xef\xbb\xbfa", ("byte order mark", "no line end at the end")),
    ],
)
def test_special_content_is_remarked(content: bytes, remarks: tuple[str, ...]):
    shown = read_text(content)

    assert shown is not None
    assert shown.remarks == remarks
