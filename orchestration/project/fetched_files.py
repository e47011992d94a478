"""Reads what a guest sent: a folder's entries, one file, or all as one tar stream.

Guests chose the names: any bytes but slashes and NUL, here surrogate-escaped. Folders
are opened one below the other and links are not followed, though a fetch makes none.
Nothing is whole in memory.
"""

import os
import stat
import tarfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from orchestration.compose.files import open_folder, open_in, open_real
from orchestration.errors import PathOutside, StateError
from orchestration.project.contexts import members_of
from orchestration.project.packing import PIECE_BYTES, header, link_header, padded


@dataclass(frozen=True, slots=True)
class Entry:
    """A file or folder in a folder; the size of a folder is not counted."""

    name: str
    is_folder: bool
    size_bytes: int
    modified_s: float


class FetchedFiles:
    """The files of one guest in one run; paths are relative and `""` is all of them.

    Its methods raise PathOutside (no path within, or a link) and OSError (not there).
    """

    def __init__(self, root: Path) -> None:
        self._root = Path(os.path.realpath(root.parent)) / root.name

    @property
    def is_there(self) -> bool:
        """Return whether the guest's files have arrived and were not removed."""
        return self._root.is_dir() and not self._root.is_symlink()

    def is_folder(self, path: str) -> bool:
        """Return whether a path is a folder. Raises: also StateError (neither)."""
        place = self._place(path)
        if place == self._root:
            return True
        with _opened(place.parent) as folder:
            mode = os.stat(place.name, dir_fd=folder, follow_symlinks=False).st_mode
        if not (stat.S_ISDIR(mode) or stat.S_ISREG(mode)):
            raise StateError(f"{place.name} is neither a file nor a folder.")
        return stat.S_ISDIR(mode)

    def names(self, path: str) -> list[str]:
        """Return the names in a folder: folders first, each in order."""
        with _opened(self._place(path)) as folder, os.scandir(folder) as entries:
            found = [
                (not entry.is_dir(follow_symlinks=False), entry.name)
                for entry in entries
                if not entry.is_symlink()
            ]
        return [name for _, name in sorted(found)]

    def entries(self, path: str, names: Sequence[str]) -> list[Entry]:
        """Describe some entries of a folder."""
        with _opened(self._place(path)) as folder:
            return [_entry(folder, name) for name in names]

    def open(self, path: str) -> BinaryIO:
        """Open a regular file."""
        return open_real(self._place(path))

    def content(self, path: str) -> Iterator[bytes]:
        """Yield a regular file in pieces."""
        with self.open(path) as file:
            yield from iter(lambda: file.read(PIECE_BYTES), b"")

    def packed(self, path: str, name: str) -> Iterator[bytes]:
        """Yield a file or folder, named `name`, as the members of a tar archive.

        A file of many names is sent once: its other names are links to it.
        """
        source, sent = self._place(path), _Sent()
        if not self.is_folder(path):
            with _opened(source.parent) as folder:
                yield from _member(folder, source.name, name, sent)
            return
        with _opened(source) as top:
            yield header(name, os.fstat(top))
        for folder, entry, below in members_of(source):
            yield from _member(folder, entry, f"{name}/{below}", sent)

    def _place(self, path: str) -> Path:
        parts = path.split("/") if path else []
        if "\0" in path or any(part in ("", ".", "..") for part in parts):
            raise PathOutside("This is no path within the fetched files.")
        return self._root.joinpath(*parts)


def end_of_archive() -> bytes:
    """Return the bytes behind the last member of a tar archive."""
    return bytes(2 * tarfile.BLOCKSIZE)


@contextmanager
def _opened(place: Path) -> Iterator[int]:
    descriptor = open_folder(place)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _entry(folder: int, name: str) -> Entry:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    is_folder = stat.S_ISDIR(status.st_mode)
    size = 0 if is_folder else status.st_size
    return Entry(name, is_folder, size, status.st_mtime)


class _Sent(dict[tuple[int, int], str]):
    """The first names of the files of an archive that have several, by their inodes."""

    def first_name(self, status: os.stat_result, name: str) -> str:
        """Return the name under which a file was sent; it becomes `name` if none."""
        if status.st_nlink == 1:
            return name
        return self.setdefault((status.st_dev, status.st_ino), name)


def _member(folder: int, entry: str, name: str, sent: _Sent) -> Iterator[bytes]:
    status = os.stat(entry, dir_fd=folder, follow_symlinks=False)
    if stat.S_ISDIR(status.st_mode):
        yield header(name, status)
    elif stat.S_ISREG(status.st_mode) and (file := open_in(folder, entry)):
        with file:
            status = os.fstat(file.fileno())
            if (first := sent.first_name(status, name)) != name:
                yield link_header(name, first)
                return
            yield header(name, status)
            yield from padded(_exactly(file, status.st_size), status.st_size)


def _exactly(file: BinaryIO, size: int) -> Iterator[bytes]:
    """Yield a file's bytes. Raises: StateError (it became shorter)."""
    left = size
    while left:
        data = file.read(min(PIECE_BYTES, left))
        if not data:
            raise StateError("A fetched file became shorter while it was sent.")
        left -= len(data)
        yield data
