"""A file's first bytes tell whether it is a disk, a packed one, or something else."""

import pytest

from orchestration.compose.disk_files import (
    Packing,
    is_without_boot_sector,
    no_disk,
    packing_of,
)

TAR_TAIL = bytes(157) + b"ustar\0"
OVA = b"vm.ovf".ljust(100, b"\0") + TAR_TAIL


@pytest.mark.parametrize(
    ("head", "packing"),
    [
        (b"\xfd7zXZ\0", Packing.XZ),
        (b"\x1f\x8b\x08", Packing.GZIP),
        (b"\x28\xb5\x2f\xfd", Packing.ZSTD),
        (OVA, Packing.OVA),
        (b"QFI\xfb", None),
        (b"", None),
    ],
)
def test_packing_is_known_by_the_first_bytes(
    head: bytes, packing: Packing | None
) -> None:
    assert packing_of(head) is packing
    assert no_disk(head, 1) == ""


@pytest.mark.parametrize(
    ("head", "what"),
    [
        (b"PK\x03\x04", "is a zip archive"),
        (b"a".ljust(100, b"\0") + TAR_TAIL, "is a tar archive"),
        (b"\xef\xbb\xbf\n <!DOCTYPE HTML>", "is a web page or XML"),
        (b"version https://git-lfs.github.com/spec/v1\n", "is a git-lfs pointer"),
        (b"LUKS\xba\xbe", "is encrypted (LUKS)"),
        (b"QFI\xfb" + bytes(28) + b"\0\0\0\x02", "is encrypted"),
    ],
)
def test_file_that_is_no_disk_is_named(head: bytes, what: str) -> None:
    assert no_disk(head, 1).startswith(what)


def test_empty_file_is_named_and_unreadable_one_is_not() -> None:
    assert no_disk(b"", 0) == "is empty"
    assert no_disk(b"", 4096) == ""
    assert not is_without_boot_sector(b"")


def test_boot_sector_is_looked_for_on_raw_disks_only() -> None:
    assert is_without_boot_sector(bytes(1024))
    assert not is_without_boot_sector(bytes(510) + b"\x55\xaa")
    assert not is_without_boot_sector(b"QFI\xfb" + bytes(1020))
