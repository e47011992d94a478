"""Unpacks a user's disk into main's store.

Packed files are read as a stream: one that unpacks to terabytes of zeros costs no
memory and no space, and any other ends where the space does. An OVA is accepted when it
has one disk, which is converted, since guests run on raw and qcow2 only. A disk in it
may name no other file: QEMU would open that on the host. Used by `own_files.py`.
"""

import gzip
import lzma
import os
import struct
import tarfile
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import zstandard

from orchestration.compose.disk_files import (
    HEAD_BYTES,
    Packing,
    advice,
    no_disk,
    packing_of,
)
from orchestration.errors import ImageFailed
from orchestration.providers.images import qemu_img
from orchestration.providers.images.base_images import check_space
from orchestration.transport.base import OnProgress, Scope, Transport

CHUNK_BYTES = 1024 * 1024
# A run of zeros of this size becomes a hole.
BLOCK_BYTES = 64 * 1024
LIMIT_BYTES = 4 * 1024**4
# The memory of the largest preset of xz and of zstd; a file may ask for gigabytes.
XZ_MEMORY_BYTES = 256 * 1024**2
ZSTD_WINDOW_BYTES = 128 * 1024**2
# Unpacked at once; a block of 128 KiB takes 4 bytes at least.
ZSTD_READ_BYTES = 4096
BROKEN = (
    lzma.LZMAError,
    zlib.error,
    gzip.BadGzipFile,
    zstandard.ZstdError,
    tarfile.TarError,
    EOFError,
)
DISK_ENDINGS = (".vmdk", ".vhd", ".vhdx", ".qcow2", ".img", ".raw", ".vdi")
# Source: the VMware Virtual Disk Format 1.1, "Hosted Sparse Extent Header".
_VMDK = struct.Struct("<4sIIQ")
_VMDK_DESCRIPTOR_BYTES = 64 * 1024


@dataclass(frozen=True, slots=True)
class Packed:
    """An open packed disk; `name` is the user's, for messages."""

    file: BinaryIO
    name: str
    packing: Packing


def unpack(
    transport: Transport,
    packed: Packed,
    part: Path,
    *,
    scope: Scope,
    on_progress: OnProgress,
) -> None:
    """Write the disk in a packed file to `part`, which the caller removes on failure.

    Raises: ImageFailed, NotEnoughSpace, Cancelled.
    """
    try:
        _write(packed, part, scope, on_progress)
        _require_disk(packed.name, part)
        if packed.packing is Packing.OVA:
            _convert(transport, packed.name, part, scope)
    except BROKEN as exc:
        raise _broken(packed.name, str(exc)) from exc


def _write(packed: Packed, part: Path, scope: Scope, on_progress: OnProgress) -> None:
    """Write a file's unpacked content, with holes where there are zeros."""
    size, written = os.fstat(packed.file.fileno()).st_size, 0
    with part.open("wb") as unpacked:
        for chunk in _unpacked(packed):
            scope.check_cancelled()
            check_space(part, len(chunk))
            written += len(chunk)
            if written > LIMIT_BYTES:
                raise _broken(packed.name, f"more than {LIMIT_BYTES} bytes are in it")
            _write_sparse(unpacked, chunk)
            on_progress(min(packed.file.tell(), size), size)
        unpacked.truncate(written)


def _write_sparse(file: BinaryIO, chunk: bytes) -> None:
    for start in range(0, len(chunk), BLOCK_BYTES):
        block = chunk[start : start + BLOCK_BYTES]
        if block.strip(b"\0"):
            file.write(block)
        else:
            file.seek(len(block), os.SEEK_CUR)


def _unpacked(packed: Packed) -> Iterator[bytes]:
    match packed.packing:
        case Packing.XZ:
            return _xz(packed.file)
        case Packing.GZIP:
            return _chunks(gzip.GzipFile(fileobj=packed.file))
        case Packing.ZSTD:
            return _zstd(packed.file)
        case Packing.OVA:
            return _only_disk(packed.name, packed.file)


def _chunks(stream: gzip.GzipFile) -> Iterator[bytes]:
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def _xz(packed: BinaryIO) -> Iterator[bytes]:
    """Unpack all streams of a file, as `xz` does, in bounded memory."""
    data = packed.read(CHUNK_BYTES)
    while data:
        stream = lzma.LZMADecompressor(memlimit=XZ_MEMORY_BYTES)
        while not stream.eof:
            yield stream.decompress(data, CHUNK_BYTES)
            data = b""
            if stream.needs_input and not stream.eof:
                data = packed.read(CHUNK_BYTES)
                if not data:
                    raise EOFError("the file ends too early")
        # Zeros may fill the space between two streams, and behind the last.
        data = stream.unused_data.lstrip(b"\0")
        while not data and (more := packed.read(CHUNK_BYTES)):
            data = more.lstrip(b"\0")


def _zstd(packed: BinaryIO) -> Iterator[bytes]:
    """Unpack all frames of a file; the library's reader accepts half a frame."""
    decompressor = zstandard.ZstdDecompressor(max_window_size=ZSTD_WINDOW_BYTES)
    data = packed.read(ZSTD_READ_BYTES)
    while data:
        frame = decompressor.decompressobj()
        yield frame.decompress(data)
        while not frame.eof:
            data = packed.read(ZSTD_READ_BYTES)
            if not data:
                raise EOFError("the file ends too early")
            yield frame.decompress(data)
        data = frame.unused_data or packed.read(ZSTD_READ_BYTES)


def _only_disk(name: str, packed: BinaryIO) -> Iterator[bytes]:
    with tarfile.open(fileobj=packed, mode="r:") as archive:
        disks = [
            member
            for member in archive
            if member.isreg() and member.name.lower().endswith(DISK_ENDINGS)
        ]
        if len(disks) != 1:
            names = ", ".join(member.name for member in disks[:5]) or "none"
            raise ImageFailed(
                f"The disk {name} cannot be used: it is an OVA with "
                f"{len(disks)} disks.",
                hint=f"Unpack it and name one of its disks: {names}.",
            )
        stream = archive.extractfile(disks[0])
        while stream is not None and (chunk := stream.read(CHUNK_BYTES)):
            yield chunk


def _require_disk(name: str, part: Path) -> None:
    """Refuse unpacked content that is no disk, or that is packed again."""
    with part.open("rb") as file:
        head = file.read(HEAD_BYTES)
    packing, problem = packing_of(head), no_disk(head, len(head))
    if packing is not None:
        problem = f"is packed once more ({packing})"
    if problem:
        raise ImageFailed(
            f"The disk {name} cannot be used: what is in it {problem}.",
            hint=advice(problem),
        )


def _convert(transport: Transport, name: str, part: Path, scope: Scope) -> None:
    """Convert the disk of an OVA, which is a VMDK that names no other file."""
    with part.open("rb") as file:
        head = file.read(_VMDK_DESCRIPTOR_BYTES)
    magic, _, _, capacity = _VMDK.unpack_from(head.ljust(_VMDK.size, b"\0"))
    if magic != b"KDMV" or not capacity or b"parentFileNameHint" in head:
        raise ImageFailed(
            f"The disk {name} cannot be used: the disk in it is no whole VMDK.",
            hint="Unpack it, and convert its disk: `qemu-img convert -O qcow2`.",
        )
    image = part.with_suffix("")
    packed, made = image.with_suffix(".vmdk.part"), image.with_suffix(".qcow2")
    part.replace(packed)
    try:
        source = qemu_img.Layer(str(packed), "vmdk")
        qemu_img.convert(transport, source, str(made), scope=scope)
        made.replace(part)
    finally:
        packed.unlink(missing_ok=True)


def _broken(name: str, detail: str) -> ImageFailed:
    return ImageFailed(
        f"The disk {name} cannot be unpacked.",
        hint="It is damaged or was not copied whole: copy it again.",
        detail=detail,
    )
