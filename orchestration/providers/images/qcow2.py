"""Parses the first bytes of a qcow2 file: the disk's size and the files it refers to.

Pure. `listing.py` reads them of a thousand files with one command, which qemu-img
cannot: it starts once for each. Source: QEMU's docs/interop/qcow2.txt, "Header".
"""

import json
import struct
from dataclasses import dataclass

MAGIC = b"QFI\xfb"
# The backing file's name (at most 1,023 bytes) follows the header's extensions, which
# QEMU fills with less than 600. No overlay is smaller than four clusters of 512.
HEADER_BYTES = 2048
_FIXED = struct.Struct(">4sIQIIQ")


ANOTHER_FILE = "another file"
# The last byte of the incompatible features, and the bit "external data file" there.
_FEATURES, _DATA_FILE_BIT = 79, 0b100
_HEADER_LENGTH, _DATA_FILE_NAME = 100, 0x44415441
# QEMU does not read longer names.
_NAME_BYTES = 1023


@dataclass(frozen=True, slots=True)
class Header:
    """The fields of a qcow2 header; `backing` is as written.

    `far` is the place and length of the name when it was not in reach.
    """

    virtual_bytes: int
    backing: str = ""
    far: tuple[int, int] | None = None


def parse_header(data: bytes) -> Header | None:
    """Parse a header; None for a file that is no qcow2.

    A file that QEMU would not open has no backing: no guest can run on it.
    """
    if len(data) < _FIXED.size or not data.startswith(MAGIC):
        return None
    _, version, offset, length, bits, virtual = _FIXED.unpack_from(data)
    if not (offset and length and _is_opened(version, offset, length, bits)):
        return Header(virtual)
    name = data[offset : offset + length]
    if len(name) < length:
        return Header(virtual, far=(offset, length))
    return Header(virtual, decoded(name))


def further_file(head: bytes) -> str:
    """Return the further file that a qcow2 header refers to, or ''.

    That is its backing file, or the data file of version 3. `head` is the beginning of
    the file; a name that lies behind it is returned as `another file`.
    """
    if len(head) < _FIXED.size or not head.startswith(MAGIC):
        return ""
    _, _, offset, length, *_ = _FIXED.unpack_from(head)
    if offset:
        return decoded(head[offset : offset + length]) or ANOTHER_FILE
    return data_file(head)


def data_file(head: bytes) -> str:
    """Return the file in which a qcow2 image of version 3 keeps its data, or ''."""
    if len(head) < _FIXED.size or not head.startswith(MAGIC):
        return ""
    head = head.ljust(HEADER_BYTES, b"\0")
    _, version, *_ = _FIXED.unpack_from(head)
    if version >= 3 and head[_FEATURES] & _DATA_FILE_BIT:
        return decoded(_extension(head, _DATA_FILE_NAME)) or ANOTHER_FILE
    return ""


def _extension(head: bytes, kind: int) -> bytes:
    """Return the data of a header extension, or nothing."""
    (at,) = struct.unpack_from(">I", head, _HEADER_LENGTH)
    while at + 8 <= len(head):
        found, length = struct.unpack_from(">II", head, at)
        at += 8
        if found == kind:
            return head[at : at + length]
        if not found:
            break
        at += -(-length // 8) * 8
    return b""


def decoded(name: bytes) -> str:
    """Return a file's name, whose bytes may be no text."""
    return name.decode(errors="surrogateescape")


def _is_opened(version: int, offset: int, length: int, cluster_bits: int) -> bool:
    """Return whether QEMU accepts the place of a name: in the first cluster.

    Source: QEMU's block/qcow2.c, qcow2_do_open; version 1 is block/qcow.c.
    """
    if version == 1:
        return length <= _NAME_BYTES
    if not 9 <= cluster_bits <= 21:
        return False
    return length <= min(_NAME_BYTES, (1 << cluster_bits) - offset)


def named_files(backing: str) -> frozenset[str]:
    """Return every path or file name that a backing file's name may mean.

    It is a path, a path after a protocol (`file:…`), or a JSON description with paths
    anywhere in it.
    """
    if backing.startswith("json:"):
        try:
            return frozenset(_strings(json.loads(backing.removeprefix("json:"))))
        except (ValueError, RecursionError):
            return frozenset(backing.replace('"', "\n").split("\n"))
    return frozenset({backing, backing.removeprefix("file:")})


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts: list[object] = []
    if isinstance(value, dict):
        parts = list(value.values())
    elif isinstance(value, list):
        parts = value
    return [text for part in parts for text in _strings(part)]
