"""Reads the files of an uploaded archive, as a process of its own with hard limits.

`uploads.py` starts this file as a script, with the archive on its input: a header of a
few bytes may ask a library for gigabytes, which must not happen in the web's process.
The limits of the kernel stand behind the checks below. On its output each file is a
line of JSON with its name and size, then its bytes; the last line says how it ended.
Only the standard library is imported, as the start of the process is part of a request.
"""

import gzip
import io
import json
import resource
import struct
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import suppress
from typing import IO, cast

# Besides the archive itself and one of its files, of 64 MiB each, the interpreter.
MEMORY_BYTES = 512 * 1024**2
# An archive with one file of 63 MiB took 0.4 s, and a zip 391 MiB of memory.
CPU_S = 20
# Long names and PAX headers, which tarfile reads whole.
MAX_HEADER_BYTES = 64 * 1024
READ_WHOLE = {
    tarfile.GNUTYPE_LONGNAME,
    tarfile.GNUTYPE_LONGLINK,
    tarfile.XHDTYPE,
    tarfile.XGLTYPE,
    tarfile.SOLARIS_XHDTYPE,
}
ENTRIES_PER_FILE = 4
# Files that are left out, headers, and what fills blocks.
OVERHEAD_FACTOR = 2
READ_BYTES = 1024 * 1024
# Files that macOS and Windows put into folders and archives by themselves.
CLUTTER_FOLDERS = {"__macosx"}
CLUTTER_FILES = {".ds_store", "thumbs.db", "desktop.ini"}
APPLE_DOUBLE = "._"
# The bit of a zip member that declares its name as UTF-8 (APPNOTE.TXT, 4.4.4).
NAME_IS_UTF8 = 0x800
# Source: APPNOTE.TXT 4.3.16: entries of the directory, its size; 4.3.15: the locator.
_ZIP_END = struct.Struct("<4s4xHHI6x")
_ZIP_END_MAGIC, _ZIP64_MAGIC = b"PK\x05\x06", b"PK\x06\x07"
_ZIP64_BYTES = 20
_ZIP_COMMENT_BYTES = 0xFFFF
# A member of the directory has a name, and rarely some extra fields.
_ZIP_ENTRY_BYTES = 1024

Members = Iterator[tuple[str, IO[bytes]]]


class Refused(Exception):
    """The archive cannot be used: a reason of `uploads.py`, and a member's name."""


class SmallHeader(tarfile.TarInfo):
    """A member of a tar whose long name or PAX header is read only when it is small."""

    def _proc_member(self, archive: tarfile.TarFile) -> tarfile.TarInfo:
        if self.type in READ_WHOLE and self.size > MAX_HEADER_BYTES:
            raise Refused("header")
        return cast(tarfile.TarInfo, super()._proc_member(archive))  # type: ignore[misc]


class Bounded(io.RawIOBase):
    """A stream that ends with an error after so many bytes."""

    def __init__(self, stream: IO[bytes] | gzip.GzipFile, limit: int) -> None:
        self._stream, self._left = stream, limit

    def readable(self) -> bool:
        """Return True."""
        return True

    def read(self, size: int = -1) -> bytes:
        """Read at most `size` bytes. Raises: Refused."""
        data = self._stream.read(size if size >= 0 else self._left + 1)
        self._left -= len(data)
        if self._left < 0:
            raise Refused("size")
        return data


def main(kind: str, max_files: int, max_bytes: int) -> None:
    """Read the archive on the standard input under the limits."""
    limit_process()
    content, output = sys.stdin.buffer.read(), sys.stdout.buffer
    end: dict[str, str] = {"end": ""}
    try:
        for name, data in read_members(kind, content, max_files, max_bytes):
            header = json.dumps({"name": name, "size": len(data)})
            output.write(f"{header}\n".encode())
            output.write(data)
    except Refused as exc:
        end = {"end": exc.args[0], "name": exc.args[1] if len(exc.args) > 1 else ""}
    except Exception as exc:  # noqa: BLE001 - the libraries raise nearly anything
        end = {"end": "unreadable", "name": repr(exc)[:500]}
    output.write(f"{json.dumps(end)}\n".encode())


def limit_process() -> None:
    """Limit memory and processor time, and forbid written files."""
    limits = {
        resource.RLIMIT_AS: MEMORY_BYTES,
        resource.RLIMIT_CPU: CPU_S,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, value in limits.items():
        _, most = resource.getrlimit(kind)
        limit = value if most == resource.RLIM_INFINITY else min(value, most)
        resource.setrlimit(kind, (limit, limit))


def read_members(
    kind: str, content: bytes, max_files: int, max_bytes: int
) -> Iterator[tuple[str, bytes]]:
    """Yield the files of an archive within the bounds. Raises: Refused and others."""
    entries = max_files * ENTRIES_PER_FILE
    if kind == "zip":
        members = _zip(content, entries)
    else:
        stream = io.BytesIO(content)
        unpacked = gzip.GzipFile(fileobj=stream) if kind == "gzip" else stream
        limit = max_bytes * OVERHEAD_FACTOR + entries * tarfile.BLOCKSIZE
        members = _tar(Bounded(unpacked, limit), entries, max_bytes)
    count, left = 0, max_bytes
    for name, member in members:
        if is_clutter(name):
            continue
        data = member.read(left + 1)
        count, left = count + 1, left - len(data)
        if count > max_files:
            raise Refused("files")
        if left < 0:
            raise Refused("size")
        yield name, data


def is_clutter(path: str) -> bool:
    """Return whether a desktop put this file there by itself."""
    *folders, name = path.lower().split("/")
    return (
        not CLUTTER_FOLDERS.isdisjoint(folders)
        or name in CLUTTER_FILES
        or name.startswith(APPLE_DOUBLE)
    )


def _zip(content: bytes, entries: int) -> Members:
    _require_small_directory(content, entries)
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = archive.infolist()
        if len(members) > entries:
            raise Refused("entries")
        for member in members:
            kind = (member.external_attr >> 16) & 0o170000
            name = _zip_name(member)
            if name.endswith("/"):
                continue
            if kind not in {0, 0o100000}:
                raise Refused("kind", member.filename)
            with archive.open(member) as stream:
                yield name, stream


def _require_small_directory(content: bytes, entries: int) -> None:
    """Check the directory's size before zipfile reads it, which it does whole.

    It reads as many entries as fit into the size, whatever their number says.
    """
    end = len(content) - _ZIP_END.size
    if end < 0:
        raise zipfile.BadZipFile
    is_last = content.startswith(_ZIP_END_MAGIC, end) and content.endswith(b"\0\0")
    if not is_last:
        first = max(0, end - _ZIP_COMMENT_BYTES)
        end = content.rfind(_ZIP_END_MAGIC, first, end + len(_ZIP_END_MAGIC))
    if end < 0:
        raise zipfile.BadZipFile
    _, _, count, size = _ZIP_END.unpack_from(content, end)
    is_zip64 = content.startswith(_ZIP64_MAGIC, max(0, end - _ZIP64_BYTES))
    if is_zip64 or count > entries or size > entries * _ZIP_ENTRY_BYTES:
        raise Refused("entries")


def _zip_name(member: zipfile.ZipInfo) -> str:
    """Return a member's name as its packer meant it.

    `zip` on Linux and Finder write UTF-8 without declaring it, and zipfile takes that
    for code page 437. Older packers on Windows write back-slashes between folders.
    """
    name = member.filename
    if not member.flag_bits & NAME_IS_UTF8:
        with suppress(UnicodeError):
            name = name.encode("cp437").decode("utf-8")
    return name.replace("\\", "/")


def _tar(stream: Bounded, entries: int, max_bytes: int) -> Members:
    count = 0
    with tarfile.open(fileobj=stream, mode="r|", tarinfo=SmallHeader) as archive:
        for member in archive:
            count += 1
            if count > entries:
                raise Refused("entries")
            if member.isdir():
                continue
            if not member.isreg():
                raise Refused("kind", member.name)
            if member.size > max_bytes:
                raise Refused("size")
            if (found := archive.extractfile(member)) is not None:
                yield member.name, found


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3]))
