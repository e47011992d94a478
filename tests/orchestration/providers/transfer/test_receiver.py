"""A host's report about its store."""

import pytest

from orchestration.providers.images import protection
from orchestration.providers.images.digests import Digest
from orchestration.providers.transfer import receiver
from orchestration.providers.transfer.layout import Layout
from orchestration.providers.transfer.receiver import File

LAYOUT = Layout(100, ((0, 100),))


def test_look_is_read() -> None:
    seen = receiver.parse_observation(
        "content 12 100 1700000000.123456789 0:444\nname 12 100 1700000000.123456789\n"
        f"part 50 {LAYOUT.identity} token\nfree 10 4096\nzstd\n"
    )

    assert seen.content == seen.name == File(12, 100, "1700000000.123456789")
    assert seen.content is not None
    assert seen.content.access == protection.GUARDED
    assert seen.arrived(LAYOUT) == 50
    assert seen.free_bytes == 40960
    assert seen.has_zstd


@pytest.mark.parametrize(
    "note", ["", "part", "part x y z", "part 50 other token", "part 500 {} token"]
)
def test_note_that_is_broken_or_of_another_file_is_none(note: str) -> None:
    seen = receiver.parse_observation(f"{note.format(LAYOUT.identity)}\nfree 1 1\n")

    assert seen.arrived(LAYOUT) == 0
    assert not seen.has_zstd
    assert seen.content is None


def test_mark_follows_from_the_digest() -> None:
    marks = {
        receiver.place_of("/i/a", Digest("sha256", value * 64)).mark
        for value in "0123456789abcdef"
    }

    assert len(marks) == 16
    assert all(len(mark) == 9 and mark.isdecimal() for mark in marks)
