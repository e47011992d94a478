"""The figures of one sample, and how they are packed into bytes.

A record is a row of 32-bit floats, in the order of the fields; NaN stands for a figure
that was not observed. Four bytes are exact to seven digits, more than a chart shows.
"""

import struct
from collections.abc import Iterable, Iterator, Sequence
from math import nan
from typing import NamedTuple


class GuestFigures(NamedTuple):
    """The load of one guest: a share of all its vCPUs, memory, and bytes a second."""

    cpu_percent: float = nan
    memory_bytes: float = nan
    disk_read_bytes_per_s: float = nan
    disk_written_bytes_per_s: float = nan
    received_bytes_per_s: float = nan
    sent_bytes_per_s: float = nan


class HostFigures(NamedTuple):
    """The load of one host: memory and disk are what is used of them."""

    cpu_percent: float = nan
    load: float = nan
    memory_bytes: float = nan
    disk_bytes: float = nan


Figures = GuestFigures | HostFigures
Record = tuple[float, ...]
Packed = bytes | memoryview
FIGURE_BYTES = 4


def pack(records: Iterable[Sequence[float]]) -> bytes:
    """Pack records, one after the other."""
    values = [value for record in records for value in record]
    return struct.pack(f"<{len(values)}f", *values)


def unpack(packed: Packed, width: int) -> Iterator[Record]:
    """Yield the records of `width` figures each."""
    return struct.iter_unpack(f"<{width}f", packed)


def values_of(packed: Packed) -> tuple[float, ...]:
    """Return the figures of all records, one after the other."""
    return struct.unpack(f"<{len(packed) // FIGURE_BYTES}f", packed)


def shares_of(packed: Packed) -> tuple[float, ...]:
    """Return the CPU shares of packed guests or minutes, the first figure of each."""
    return values_of(packed)[:: len(GuestFigures._fields)]


def record_at(packed: Packed, number: int, width: int) -> Record:
    """Return one record."""
    return struct.unpack_from(f"<{width}f", packed, FIGURE_BYTES * width * number)


def mean(records: Sequence[Record], width: int) -> Record:
    """Return the means of what was observed in each column."""
    columns = zip(*records, strict=True) if records else ((),) * width
    known = ([value for value in column if value == value] for column in columns)
    return tuple(sum(values) / len(values) if values else nan for values in known)
