"""Writes what a guest sends into a folder of main, and nothing outside of it.

Every folder is opened below the one before and no link is ever followed or made:
symbolic links, devices and pipes are left out and counted. A hard link may only name a
file of the same archive. Nobody but the owner may write to what was fetched, and no file
changes the user that runs it.
"""

import os
import stat
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

from orchestration.errors import ArchiveRefused
from orchestration.providers.guest.copies.tar_reader import (
    MOST_NAME_BYTES,
    Entry,
    EntryKind,
    TarReader,
)
from orchestration.transport.files.copying import SparseWriter

MOST_DEPTH = 128
# A file or folder takes this on the disk beside its bytes of the stream: at most the
# rest of its last block, and its inode.
ENTRY_BYTES = 4096 + 256
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_NEW_FILE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
_PERMISSIONS = 0o755
_LATEST_S = 2**33
Spend = Callable[[int], None]
Place = tuple[str, ...]


class Unpacker:
    """Unpacks one stream into an existing, empty folder of its own.

    The archive of a folder begins with its own entry, and its contents get the folder
    `name`. `spend` is called with the bytes that the next part takes on the disk, before
    it is written, and raises when they are too many. `most_entries` bounds entries, and
    made folders besides. `files` and `left_out` count entries. Raises: ArchiveRefused,
    OSError, and the errors of `spend`.
    """

    def __init__(
        self, folder: Path, *, name: str, spend: Spend, most_entries: int
    ) -> None:
        self._name = name
        self._top: Place = ()
        self._root = os.open(folder, _FOLDER)
        self._owner = os.fstat(self._root)
        self._spend = spend
        self._left_entries = self._left_folders = most_entries
        self._most_entries = most_entries
        self._reader = TarReader(self._begin, self._write)
        self._file: tuple[BinaryIO, Entry, SparseWriter] | None = None
        self._folders: list[tuple[Place, Entry]] = []
        self.files = self.size_bytes = 0
        self.left_out: Counter[EntryKind] = Counter()

    def feed(self, data: bytes) -> None:
        """Take the next bytes of the stream."""
        self._spend(len(data))
        self._reader.feed(data)

    def finish(self) -> None:
        """End the last file, set the folders' times. Raises: ArchiveRefused (cut off)."""
        if not self._reader.is_complete:
            raise ArchiveRefused("no end: only a part arrived")
        self._end_file()
        for place, entry in reversed(self._folders):
            with self._opened(place) as folder:
                _set_mode_and_time(folder, entry, stat.S_IRWXU)

    def close(self) -> None:
        """Close what is open; a second call does nothing."""
        if self._file is not None:
            self._file[0].close()
            self._file = None
        if self._root >= 0:
            os.close(self._root)
            self._root = -1

    def _begin(self, entry: Entry) -> None:
        self._end_file()
        self._left_entries -= 1
        if self._left_entries < 0:
            raise ArchiveRefused(f"more than {self._most_entries:,} entries")
        place = _place(entry.name)
        if not place and entry.kind is EntryKind.FOLDER:
            self._top = (self._name,)
        place = (*self._top, *place)
        if entry.kind is EntryKind.FOLDER:
            with self._opened(place, is_made=True):
                self._folders.append((place, entry))
        elif entry.kind is EntryKind.FILE:
            self._begin_file(place, entry)
        elif entry.kind is EntryKind.HARD_LINK:
            self._link(place, (*self._top, *_place(entry.target)))
        else:
            self.left_out[entry.kind] += 1

    def _begin_file(self, place: Place, entry: Entry) -> None:
        *above, name = _named(place)
        self._spend(ENTRY_BYTES)
        with self._opened(tuple(above), is_made=True) as folder:
            descriptor = os.open(name, _NEW_FILE, 0o600, dir_fd=folder)
        file = os.fdopen(descriptor, "wb")
        self._give(descriptor)
        self._file = file, entry, SparseWriter(file)
        self.files += 1

    def _write(self, data: bytes) -> None:
        if self._file is not None:
            self._file[2].write(data)
            self.size_bytes += len(data)

    def _end_file(self) -> None:
        if self._file is None:
            return
        file, entry, writer = self._file
        self._file = None
        with file:
            writer.finish()
            file.flush()
            _set_mode_and_time(file.fileno(), entry, stat.S_IRUSR | stat.S_IWUSR)

    def _link(self, place: Place, target: Place) -> None:
        """Give a file of this archive a second name."""
        *above, name = _named(place)
        *target_above, target_name = _named(target)
        with (
            self._opened(tuple(target_above)) as source,
            self._opened(tuple(above), is_made=True) as folder,
        ):
            status = os.stat(target_name, dir_fd=source, follow_symlinks=False)
            if not stat.S_ISREG(status.st_mode):
                raise ArchiveRefused("a link to what is no file")
            os.link(
                *(target_name, name),
                src_dir_fd=source,
                dst_dir_fd=folder,
                follow_symlinks=False,
            )
        self.files += 1

    @contextmanager
    def _opened(self, place: Place, *, is_made: bool = False) -> Iterator[int]:
        """Open a folder below the root, each part below the one before."""
        descriptor = os.dup(self._root)
        try:
            for name in place:
                if is_made:
                    self._make(descriptor, name)
                below = os.open(name, _FOLDER, dir_fd=descriptor)
                os.close(descriptor)
                descriptor = below
            yield descriptor
        finally:
            os.close(descriptor)

    def _make(self, folder: int, name: str) -> None:
        with suppress(FileExistsError):
            os.mkdir(name, 0o700, dir_fd=folder)
            # A name of a hundred folders makes them all, with one header.
            self._left_folders -= 1
            if self._left_folders < 0:
                raise ArchiveRefused(f"more than {self._most_entries:,} folders")
            self._spend(ENTRY_BYTES)
            if self._must_give:
                owner = self._owner
                os.chown(
                    *(name, owner.st_uid, owner.st_gid),
                    dir_fd=folder,
                    follow_symlinks=False,
                )

    def _give(self, descriptor: int) -> None:
        if self._must_give:
            os.fchown(descriptor, self._owner.st_uid, self._owner.st_gid)

    @property
    def _must_give(self) -> bool:
        return os.geteuid() == 0 and self._owner.st_uid != 0


def _place(name: str) -> Place:
    """Return the parts of an entry's name. Raises: ArchiveRefused (it leads out)."""
    parts = tuple(part for part in name.split("/") if part not in ("", "."))
    if name.startswith("/") or ".." in parts or "\0" in name:
        raise ArchiveRefused("a name that leads out of its folder")
    if len(parts) > MOST_DEPTH or len(name) > MOST_NAME_BYTES:
        raise ArchiveRefused("a name that is too long")
    return parts


def _named(place: Place) -> Place:
    if not place:
        raise ArchiveRefused("a file without a name")
    return place


def _set_mode_and_time(descriptor: int, entry: Entry, least: int) -> None:
    os.fchmod(descriptor, entry.mode & _PERMISSIONS | least)
    when_s = min(max(entry.mtime_s, 0), _LATEST_S)
    os.utime(descriptor, (when_s, when_s))
