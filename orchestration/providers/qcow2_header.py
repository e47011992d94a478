"""The first bytes of a qcow2 file: how large its disk is, and what it lies over.

Pure. `image_files` reads them of a thousand files with one command, which qemu-img
cannot: it starts once for each. Source: QEMU's docs/interop/qcow2.txt, "Header".
"""

import json
import struct
from dataclasses import dataclass
from pathlib import PurePosixPath

MAGIC = b"QFI\xfb"
# The backing file's name (at most 1,023 bytes) follows the header's extensions, which
# QEMU fills with less than 600. No overlay is smaller than four clusters of 512.
HEADER_BYTES = 2048
_FIXED = struct.Struct(">4sIQIIQ")


@dataclass(frozen=True, slots=True)
class Header:
    """What a qcow2 file says; `backing` is as written, None when it is not in reach."""

    virtual_bytes: int
    backing: str | None = ""


def parse_header(data: bytes) -> Header | None:
    """Read a header; None for anything that is no qcow2."""
    if len(data) < _FIXED.size or not data.startswith(MAGIC):
        return None
    _, _, offset, length, _, virtual = _FIXED.unpack_from(data)
    if not offset:
        return Header(virtual)
    name = data[offset : offset + length]
    if not length or len(name) < length:
        return Header(virtual, None)
    return Header(virtual, name.decode(errors="surrogateescape"))


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


def file_names(backing: str) -> frozenset[str]:
    """Return the last parts of all paths that a backing file's name may mean."""
    return frozenset(PurePosixPath(path).name for path in named_files(backing))


def _strings(value: object) -> list[str]:
    if isinstance(value, str):
        return [value]
    parts: list[object] = []
    if isinstance(value, dict):
        parts = list(value.values())
    elif isinstance(value, list):
        parts = value
    return [text for part in parts for text in _strings(part)]
