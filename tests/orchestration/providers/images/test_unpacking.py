"""A packed disk is unpacked once, in bounded memory and room, and refused by name."""

import bz2
import gzip
import io
import lzma
import os
import shutil
import subprocess
import tarfile
from pathlib import Path

import pytest
import zstandard

from orchestration.errors import Cancelled, ImageFailed, NotEnoughSpace
from orchestration.providers.images import unpacking
from orchestration.providers.images.own_files import OwnFile, ensure_taken
from orchestration.transport.base import Scope, no_progress
from orchestration.transport.local import LocalTransport
from tests.tags import OWN_TAG

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="needs root")
DISK = b"QFI\xfb" + bytes(5_000_000) + b"data" * 1000
needs_qemu_img = pytest.mark.skipif(
    shutil.which("qemu-img") is None, reason="qemu-img is not installed"
)


def tarred(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            archive.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def unpack(source: Path, *, scope: Scope | None = None) -> tuple[bool, Path]:
    target = source.with_name("own-0123456789abcdef.disk")
    changed = ensure_taken(
        LocalTransport(),
        OwnFile(source),
        target,
        scope=scope or Scope(OWN_TAG),
        on_progress=no_progress,
        on_verify=no_progress,
        log=print,
    )
    return changed, target


def written(folder: Path, content: bytes) -> Path:
    source = folder / "disk.packed"
    source.write_bytes(content)
    return source


@pytest.mark.parametrize(
    "content",
    [
        lzma.compress(DISK),
        lzma.compress(DISK[:1000]) + bytes(8) + lzma.compress(DISK[1000:]) + bytes(4),
        gzip.compress(DISK),
        gzip.compress(DISK[:1000]) + gzip.compress(DISK[1000:]),
        zstandard.compress(DISK),
        zstandard.compress(DISK[:1000]) + zstandard.compress(DISK[1000:]),
    ],
    ids=["xz", "two xz", "gzip", "two gzip", "zstd", "two zstd"],
)
def test_packed_disk_is_unpacked_once_with_holes(tmp_path: Path, content: bytes):
    source = written(tmp_path, content)

    first, target = unpack(source)
    again, _ = unpack(source)

    assert (first, again) == (True, False)
    assert target.read_bytes() == DISK
    assert target.stat().st_blocks * 512 < 2_500_000
    assert {path.name for path in tmp_path.glob("*.part")} == set()


@needs_qemu_img
def test_ova_with_one_disk_is_converted(tmp_path: Path):
    raw, vmdk = tmp_path / "raw", tmp_path / "disk.vmdk"
    raw.write_bytes(b"\x01" * 70_000)
    options = ("-f", "raw", "-O", "vmdk", "-o", "subformat=streamOptimized")
    subprocess.run(["qemu-img", "convert", *options, raw, vmdk], check=True)
    ova = tarred(**{"vm.ovf": b"<xml/>", "vm-disk1.vmdk": vmdk.read_bytes()})

    _, target = unpack(written(tmp_path, ova))

    subprocess.run(["qemu-img", "convert", "-O", "raw", target, raw], check=True)
    assert target.read_bytes()[:4] == b"QFI\xfb"
    assert raw.read_bytes()[:70_000] == b"\x01" * 70_000
    assert {path.name for path in tmp_path.glob("*.part")} == set()


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (tarred(**{"a.ovf": b"x"}), "an OVA with 0 disks"),
        (tarred(**{"a.ovf": b"x", "1.vmdk": b"x", "2.vmdk": b"x"}), "with 2 disks"),
        (tarred(**{"a.ovf": b"x", "1.vmdk": b'RW 9 FLAT "/etc/shadow" 0'}), "no whole"),
        (gzip.compress(tarred(a=b"x")), "is a tar archive"),
        (gzip.compress(lzma.compress(DISK)), "is packed once more"),
        (gzip.compress(b"<html>"), "is a web page"),
        (gzip.compress(b""), "is empty"),
        (lzma.compress(DISK)[:-100], "cannot be unpacked"),
        (gzip.compress(DISK)[:-100], "cannot be unpacked"),
        (zstandard.compress(DISK)[:30], "cannot be used|cannot be unpacked"),
        (b"\xfd7zXZ\0" + b"junk" * 100, "cannot be unpacked"),
        (gzip.compress(bz2.compress(DISK)), "is compressed with bzip2"),
    ],
)
def test_file_that_is_no_disk_is_refused_and_leaves_nothing(
    tmp_path: Path, content: bytes, words: str
):
    source = written(tmp_path, content)

    with pytest.raises(ImageFailed, match=words):
        unpack(source)

    assert list(tmp_path.glob("own-*")) == []


def test_vmdk_that_names_another_file_is_refused(tmp_path: Path):
    header = unpacking._VMDK.pack(b"KDMV", 1, 3, 100)
    vmdk = header + b'\nparentFileNameHint="/etc/shadow"\n'
    ova = tarred(**{"vm.ovf": b"x", "vm.vmdk": vmdk})

    with pytest.raises(ImageFailed, match="no whole VMDK"):
        unpack(written(tmp_path, ova))


def test_cancelled_unpacking_leaves_nothing(tmp_path: Path):
    scope = Scope(OWN_TAG)
    scope.cancel()

    with pytest.raises(Cancelled):
        unpack(written(tmp_path, gzip.compress(DISK)), scope=scope)

    assert list(tmp_path.glob("own-*")) == []


def test_bomb_ends_where_the_room_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def full(path: Path, needed: int) -> None:
        raise NotEnoughSpace("full")

    monkeypatch.setattr(unpacking, "check_space", full)

    with pytest.raises(NotEnoughSpace):
        unpack(written(tmp_path, gzip.compress(DISK)))

    assert list(tmp_path.glob("own-*")) == []


def test_bomb_of_zeros_ends_at_the_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(unpacking, "LIMIT_BYTES", 2_000_000)

    with pytest.raises(ImageFailed, match="cannot be unpacked"):
        unpack(written(tmp_path, gzip.compress(DISK)))
