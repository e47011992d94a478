"""The places of a file's data, and the pieces in which it is sent.

Pure but for `layout_of`, which asks the kernel. The data of a file is the bytes of its
extents one after the other; offsets of a transfer count in these. Used by `stream.py`.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass

from orchestration.transport.files.copying import Extent, data_extents

# The most that is sent again when a host loses its power. Each costs it a process.
SEGMENT_BYTES = 16 * 1024 * 1024
# So many pieces and extents make a command line of 60 KB; the kernel takes 128.
MAX_SEGMENTS = 2000
_BLOCK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class Layout:
    """A file's size and the places of its data, in order."""

    size: int
    extents: tuple[Extent, ...]

    @property
    def data_bytes(self) -> int:
        """The number of bytes to send."""
        return sum(end - start for start, end in self.extents)

    @property
    def identity(self) -> str:
        """Distinguishes this layout from another one of the same content."""
        return hashlib.sha256(repr(self).encode()).hexdigest()[:16]

    def after(self, offset: int) -> Iterator[Extent]:
        """Yield the places of the data that follows the first `offset` bytes of it."""
        for start, end in self.extents:
            skipped = min(offset, end - start)
            offset -= skipped
            if start + skipped < end:
                yield start + skipped, end

    def before(self, offset: int) -> Iterator[Extent]:
        """Yield the places of the first `offset` bytes of the data."""
        for start, end in self.extents:
            end = min(end, start + offset)
            offset -= end - start
            if start < end:
                yield start, end

    def segments(self, offset: int) -> Iterator[Extent]:
        """Yield the same in pieces that are short enough to be recorded one by one."""
        blocks = -(-self.data_bytes // (MAX_SEGMENTS * _BLOCK_BYTES))
        step = max(SEGMENT_BYTES, blocks * _BLOCK_BYTES)
        for start, end in self.after(offset):
            for position in range(start, end, step):
                yield position, min(position + step, end)


def layout_of(descriptor: int, size: int) -> Layout:
    """List where an open file has data."""
    return Layout(size, tuple(data_extents(descriptor, size)))
