"""Packs a file or folder of a testbed as one tar stream, for guests.

Nothing is whole in memory: files are read while the stream is sent. Links are packed as
links and never followed. Behind the contents come the names of all files and one digest
of their contents in that order, by which the receiver checks what it wrote.
"""

import os
import stat
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from tempfile import SpooledTemporaryFile
from typing import BinaryIO, cast

from orchestration.compose.files import open_in
from orchestration.errors import StateError, TestbedError
from orchestration.project.contexts import members_of

# The members of the stream: the file or folder, then what checks it.
CONTENT, NAMES, DIGEST = "content", "names", "digest"
PIECE_BYTES = 256 * 1024
_NOTE_IN_MEMORY = 1024 * 1024
_PERMISSIONS = 0o777
_OTHERS = 0o077
_PROGRAMS = (b"#!", b"\x7fELF")


@dataclass(frozen=True, slots=True)
class Measure:
    """The size of a file or folder: of its regular files alone."""

    files: int
    size_bytes: int
    is_folder: bool


def measure(source: Path) -> Measure:
    """Count what is to be packed. Raises: StateError."""
    files = size_bytes = 0
    try:
        for folder, entry, _ in members_of(source):
            status = os.stat(entry, dir_fd=folder, follow_symlinks=False)
            if stat.S_ISREG(status.st_mode):
                files += 1
                size_bytes += status.st_size
        return Measure(files, size_bytes, source.is_dir())
    except OSError as exc:
        raise _unreadable(source.name, exc) from exc


class Packing:
    """One pass over a file or folder; `sent_bytes` of its files were passed on."""

    def __init__(self, source: Path) -> None:
        self._source = source
        self._digest = sha256()
        self._names: BinaryIO
        self._folders: BinaryIO
        self.sent_bytes = 0

    def stream(self) -> Iterator[bytes]:
        """Yield the tar stream in large pieces.

        Raises: StateError (unreadable, changed meanwhile, neither file nor folder).
        """
        buffer = bytearray()
        with _note() as self._names, _note() as self._folders:
            for piece in self._members():
                buffer += piece
                if len(buffer) >= PIECE_BYTES:
                    yield bytes(buffer)
                    buffer.clear()
        yield bytes(buffer) + bytes(2 * tarfile.BLOCKSIZE)

    def _members(self) -> Iterator[bytes]:
        try:
            if self._source.is_dir():
                yield self._folder(CONTENT, self._source.stat(follow_symlinks=False))
            for folder, entry, name in members_of(self._source):
                inside = f"{CONTENT}/{name}" if self._source.is_dir() else CONTENT
                yield from self._member(folder, entry, inside)
        except OSError as exc:
            raise _unreadable(self._source.name, exc) from exc
        # Unpacking what is in a folder changed its time.
        yield from _read_all(self._folders)
        length = self._names.tell()
        yield _plain_header(NAMES, length)
        yield from padded(_read_all(self._names), length)
        digest = f"{self._digest.hexdigest()}\n".encode()
        yield _plain_header(DIGEST, len(digest))
        yield from padded(iter((digest,)), len(digest))

    def _folder(self, name: str, status: os.stat_result) -> bytes:
        block = header(name, status, mode=_mode(status, is_open=True))
        self._folders.write(block)
        return block

    def _member(self, folder: int, entry: str, name: str) -> Iterator[bytes]:
        status = os.stat(entry, dir_fd=folder, follow_symlinks=False)
        if stat.S_ISLNK(status.st_mode):
            yield header(name, status, os.readlink(entry, dir_fd=folder))
        elif stat.S_ISDIR(status.st_mode):
            yield self._folder(name, status)
        elif file := open_in(folder, entry):
            with file:
                status = os.fstat(file.fileno())
                start = os.pread(file.fileno(), 4, 0)
                mode = _mode(status, is_open=start.startswith(_PROGRAMS))
                yield header(name, status, mode=mode)
                yield from padded(self._read(file, status.st_size), status.st_size)
            self._names.write(os.fsencode(name) + b"\0")
        else:
            raise StateError(
                f"{name.removeprefix(f'{CONTENT}/')} is neither a file nor a folder.",
                hint="Remove it (a socket, a pipe or a device).",
            )

    def _read(self, file: BinaryIO, size: int) -> Iterator[bytes]:
        """Read as many bytes as the header says, also of a file that grows."""
        left = size
        while left:
            data = file.read(min(PIECE_BYTES, left))
            if not data:
                raise StateError(
                    f"{self._source.name} became shorter while it was sent.",
                    hint="Push it again when nothing writes to it.",
                )
            left -= len(data)
            self._digest.update(data)
            self.sent_bytes += len(data)
            yield data


def _note() -> BinaryIO:
    """Open a file for what is sent later; a long one is not kept in memory."""
    return cast("BinaryIO", SpooledTemporaryFile(_NOTE_IN_MEMORY))


def _read_all(note: BinaryIO) -> Iterator[bytes]:
    note.seek(0)
    yield from iter(lambda: note.read(PIECE_BYTES), b"")


def _mode(status: os.stat_result, *, is_open: bool) -> int:
    """Return the mode in a guest.

    On main uploads are their owner's alone, which says nothing about the guest: there
    all may read them, and run what is a program.
    """
    mode = status.st_mode & _PERMISSIONS
    if mode & _OTHERS:
        return mode
    return 0o755 if is_open or mode & stat.S_IXUSR else 0o644


def header(
    name: str, status: os.stat_result, link: str = "", *, mode: int | None = None
) -> bytes:
    """Build the header of an entry; the receiver owns what it unpacks."""
    info = tarfile.TarInfo(name)
    info.mode = status.st_mode & _PERMISSIONS if mode is None else mode
    info.mtime = max(int(status.st_mtime), 0)
    if stat.S_ISDIR(status.st_mode):
        info.type, info.mode = tarfile.DIRTYPE, info.mode | stat.S_IRWXU
    elif link:
        info.type, info.linkname = tarfile.SYMTYPE, link
    else:
        info.size = status.st_size
    return _encoded(info)


def link_header(name: str, target: str) -> bytes:
    """Build the header of another name of a file that the archive has already."""
    info = tarfile.TarInfo(name)
    info.type, info.linkname = tarfile.LNKTYPE, target
    return _encoded(info)


def _plain_header(name: str, size: int) -> bytes:
    info = tarfile.TarInfo(name)
    info.size = size
    return _encoded(info)


def _encoded(info: tarfile.TarInfo) -> bytes:
    return info.tobuf(tarfile.GNU_FORMAT, "utf-8", "surrogateescape")


def padded(pieces: Iterator[bytes], size: int) -> Iterator[bytes]:
    """Yield a member's content and what fills its last block."""
    yield from pieces
    yield bytes(-size % tarfile.BLOCKSIZE)


def _unreadable(name: str, error: OSError) -> TestbedError:
    return StateError(
        f"{name} cannot be read, or was changed while it was sent.",
        hint="Push it again when nothing writes to it.",
        detail=str(error),
    )
