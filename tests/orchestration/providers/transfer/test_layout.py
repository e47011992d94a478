"""Which pieces of a file travel, and in which order."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from orchestration.providers.images.digests import Digest
from orchestration.providers.transfer import receiver
from orchestration.providers.transfer.layout import SEGMENT_BYTES, Layout, layout_of
from orchestration.transport.files.copying import BLOCK_BYTES, MAX_EXTENTS

MIB = 1024 * 1024
SPARSE = Layout(100 * MIB, ((0, 3 * MIB), (10 * MIB, 12 * MIB), (99 * MIB, 100 * MIB)))
PLACE = receiver.place_of("/images/own-1.img", Digest("sha256", "ab" * 32))


def places(layout: Layout, offset: int) -> list[int]:
    """The place of each MiB that follows."""
    pieces = layout.segments(offset)
    return [start // MIB for a, b in pieces for start in range(a, b, MIB)]


def test_data_is_what_lies_in_the_extents_in_their_order() -> None:
    assert SPARSE.data_bytes == 6 * MIB
    assert places(SPARSE, 0) == [0, 1, 2, 10, 11, 99]
    assert places(SPARSE, 2 * MIB) == [2, 10, 11, 99]
    assert places(SPARSE, 3 * MIB) == [10, 11, 99]
    assert places(SPARSE, 6 * MIB) == []


@given(st.integers(0, 6 * MIB))
def test_present_and_following_parts_are_the_whole(offset: int) -> None:
    there, rest = list(SPARSE.before(offset)), list(SPARSE.after(offset))

    assert sum(end - start for start, end in there) == offset
    joined = [list(e) for e in itertools.chain(there[:-1])]
    for start, end in [*there[-1:], *rest]:
        if joined and joined[-1][1] == start:
            joined[-1][1] = end
        else:
            joined.append([start, end])
    assert tuple(map(tuple, joined)) == SPARSE.extents


@pytest.mark.parametrize("gib", [1, 100, 4096])
def test_command_fits_the_kernel_whatever_the_size(gib: int) -> None:
    size = gib * 1024 * MIB
    step = size // MAX_EXTENTS
    layout = Layout(
        size, tuple((at, at + step - BLOCK_BYTES) for at in range(0, size, step))
    )

    for offset in (0, layout.data_bytes // 2):
        line = str(receiver.receive(PLACE, layout, offset, compressed=True))
        assert len(line) < 100_000


def test_pieces_are_noted_often_enough() -> None:
    whole = Layout(1024 * MIB, ((0, 1024 * MIB),))

    assert max(b - a for a, b in whole.segments(5)) == SEGMENT_BYTES


def test_layout_is_looked_up_in_the_file(tmp_path) -> None:
    path = tmp_path / "file"
    with path.open("w+b") as file:
        file.seek(5 * MIB)
        file.write(b"x" * MIB)
        file.truncate(8 * MIB)
        file.flush()
        assert layout_of(file.fileno(), 8 * MIB).data_bytes < 2 * MIB

    assert SPARSE.identity != Layout(100 * MIB, SPARSE.extents[:2]).identity
