"""Tells a disk, a packed disk and other files apart by their first bytes.

QEMU treats every unknown format as a raw disk: an archive or a web page then boots
nothing, without an error. Used by the check, which sees only a file's beginning, and by
`up`, which copies or unpacks the file. Pure.
"""

import os
from datetime import UTC, datetime
from enum import StrEnum

HEAD_BYTES = 1024
TAR_MAGIC = slice(257, 262)
QCOW2 = b"QFI\xfb"
# Source: QEMU's docs/interop/qcow2.txt, "Header": crypt_method, 32 bits.
QCOW2_CRYPT = slice(32, 36)
BOOT_SIGNATURE = slice(510, 512)


class Packing(StrEnum):
    """The packings that `up` can unpack."""

    XZ = "xz"
    GZIP = "gzip"
    ZSTD = "zstd"
    OVA = "OVA"


_PACKINGS = {
    b"\xfd7zXZ\0": Packing.XZ,
    b"\x1f\x8b": Packing.GZIP,
    b"\x28\xb5\x2f\xfd": Packing.ZSTD,
}
_NO_DISKS = {
    b"PK\x03\x04": "is a zip archive",
    b"7z\xbc\xaf\x27\x1c": "is a 7z archive",
    b"Rar!": "is a rar archive",
    b"BZh": "is compressed with bzip2",
    b"version https://git-lfs": "is a git-lfs pointer, not the file itself",
    b"LUKS\xba\xbe": "is encrypted (LUKS)",
}
_MARKUP = (b"<!doctype", b"<html", b"<head", b"<?xml", b"<error")
# Formats that QEMU recognizes by their beginning; everything else is raw.
_OTHER_FORMATS = {
    b"KDMV": "vmdk",
    b"COWD": "vmdk",
    b"# Disk DescriptorFile": "vmdk",
    b"vhdxfile": "vhdx",
    b"conectix": "vpc",
    b"<<< ": "vdi",
    b"QED\0": "qed",
}
_FORMATS = (QCOW2, *_OTHER_FORMATS)
# Source: QEMU's docs/interop/qcow2.txt, "Header": version, 32 bits; 1 is qcow.
QCOW2_VERSION = slice(4, 8)
QCOW2_VERSIONS = (b"\0\0\0\2", b"\0\0\0\3")


def packing_of(head: bytes) -> Packing | None:
    """Return how a file is packed; None unless it is a packed disk."""
    if _is_tar(head) and _first_member(head).lower().endswith(b".ovf"):
        return Packing.OVA
    return next(
        (kind for magic, kind in _PACKINGS.items() if head.startswith(magic)), None
    )


def no_disk(head: bytes, size: int) -> str:
    """Return why a file cannot be a guest's disk, or ''.

    `head` is empty when the file cannot be read; the result is '' then.
    """
    if not size:
        return "is empty"
    if _is_tar(head) and packing_of(head) is None:
        return "is a tar archive"
    if head.removeprefix(b"\xef\xbb\xbf").lstrip().lower().startswith(_MARKUP):
        return "is a web page or XML"
    if head.startswith(QCOW2) and any(head[QCOW2_CRYPT]):
        return "is encrypted"
    return next(
        (what for magic, what in _NO_DISKS.items() if head.startswith(magic)), ""
    )


def format_of_head(head: bytes) -> str:
    """Return a disk's format by its first bytes, named as QEMU does.

    QEMU itself is never left to detect it: some formats name further files.
    """
    if head.startswith(QCOW2):
        return "qcow2" if head[QCOW2_VERSION] in QCOW2_VERSIONS else "qcow"
    return next(
        (name for magic, name in _OTHER_FORMATS.items() if head.startswith(magic)),
        "raw",
    )


def stamp_of(status: os.stat_result) -> str:
    """Return a user's file's stamp: it changes with its size and time of change."""
    changed_at = datetime.fromtimestamp(status.st_mtime_ns / 1e9, UTC)
    return f"{status.st_size} bytes of {changed_at:%Y-%m-%d %H:%M:%S.%f}"


def is_without_boot_sector(head: bytes) -> bool:
    """Return whether a file is a raw disk on which no firmware finds a boot sector."""
    is_raw = head and not head.startswith(_FORMATS) and packing_of(head) is None
    return bool(is_raw) and head[BOOT_SIGNATURE] != b"\x55\xaa"


def advice(what: str) -> str:
    """Return the hint for a file that is no disk."""
    if "archive" in what or "compressed" in what:
        return "Unpack it and name the disk that is in it."
    if "encrypted" in what:
        return "Decrypt it: a guest starts without anybody who types a password."
    return "Fetch the file again: it must be a disk image."


def _is_tar(head: bytes) -> bool:
    return head[TAR_MAGIC] == b"ustar"


def _first_member(head: bytes) -> bytes:
    return head[:100].rstrip(b"\0")
