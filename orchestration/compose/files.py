"""Read access to the files that a YAML points to.

`rules/files.py` uses the protocol `Files`; tests pass a dictionary, the web and the
command line a `FolderFiles`. This and the catalogue are the only I/O of this package:
it never writes, and it refuses paths outside the folder, symbolic links resolved.
"""

import errno
import os
import stat
import unicodedata
from contextlib import suppress
from functools import cache
from io import BufferedReader
from pathlib import Path
from typing import BinaryIO, Protocol

from orchestration.errors import PathOutside

HINT = "Put the file beside kvm-compose.yaml and use a relative path."
HEAD_BYTES = 256
# A context is sent as a tar file; counting as one limits a million empty files, too.
TAR_HEADER_BYTES = 512


class Files(Protocol):
    """A testbed's folder. Paths are relative to it, as in the YAML.

    All methods but `inside` treat a path that leaves the folder as missing.
    """

    def inside(self, path: str) -> bool:
        """Return whether the path stays in the folder, links resolved."""
        ...

    def exists(self, path: str) -> bool:
        """Return whether the path exists."""
        ...

    def is_file(self, path: str) -> bool:
        """Return whether the path is a regular file."""
        ...

    def is_folder(self, path: str) -> bool:
        """Return whether the path is a folder."""
        ...

    def size_bytes(self, path: str, *, at_most: int) -> int:
        """Return the size of a file, or of a folder as a tar file, approximately.

        May stop counting as soon as it is above `at_most`.
        """
        ...

    def head(self, path: str, size: int = HEAD_BYTES) -> bytes:
        """Return the first bytes of a file; empty when it cannot be read."""
        ...


class FolderFiles:
    """`Files` of a real folder."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()

    def inside(self, path: str) -> bool:
        """Return whether the path stays in the folder, links resolved."""
        return self._find(path) is not None

    def exists(self, path: str) -> bool:
        """Return whether the path exists."""
        found = self._find(path)
        return found is not None and found.exists()

    def is_file(self, path: str) -> bool:
        """Return whether the path is a regular file."""
        found = self._find(path)
        return found is not None and found.is_file()

    def is_folder(self, path: str) -> bool:
        """Return whether the path is a folder."""
        found = self._find(path)
        return found is not None and found.is_dir()

    def size_bytes(self, path: str, *, at_most: int) -> int:
        """Return the size of a file, or of a folder as a tar file, approximately."""
        found = self._find(path)
        if found is None or not found.exists():
            return 0
        if found.is_file():
            return found.stat().st_size
        total = 0
        for entry in found.rglob("*"):
            if total > at_most:
                break
            status = entry.lstat()
            total += TAR_HEADER_BYTES
            total += status.st_size if stat.S_ISREG(status.st_mode) else 0
        return total

    def head(self, path: str, size: int = HEAD_BYTES) -> bytes:
        """Return the first bytes of a file; empty when it cannot be read."""
        found = self._find(path)
        if found is None or not found.is_file():
            return b""
        try:
            with found.open("rb") as file:
                return file.read(size)
        except OSError:
            return b""

    def _find(self, path: str) -> Path | None:
        """Return the real path of one that stays in the folder, or None."""
        try:
            return resolve_inside(self.root, path)
        except PathOutside:
            return None


class AskedOnce:
    """`Files` whose answers are kept for the length of one check.

    Many machines name the same script. Contents are not kept, so that memory is bounded
    by the paths of one YAML.
    """

    def __init__(self, files: Files) -> None:
        self.inside = cache(files.inside)
        self.exists = cache(files.exists)
        self.is_file = cache(files.is_file)
        self.is_folder = cache(files.is_folder)
        self.size_bytes = files.size_bytes
        self.head = files.head


def resolve_inside(root: Path, path: str | Path) -> Path:
    """Return the target of a path below `root`, links resolved; it need not exist.

    Raises: PathOutside for a path that leaves `root`, and for one that cannot be
    resolved, such as a loop of links: `Path.resolve` accepts that since Python 3.13.
    """
    try:
        root = Path(os.path.realpath(root))
        found = Path(os.path.realpath(stored_form(root / path)))
        with suppress(FileNotFoundError, NotADirectoryError):
            found.stat()
    except (OSError, ValueError) as exc:
        raise PathOutside(f"{str(path)!r} is no usable path.", hint=HINT) from exc
    if not found.is_relative_to(root):
        raise PathOutside(
            f"The path {str(path)!r} leaves the testbed's folder.", hint=HINT
        )
    return found


def open_real(path: Path) -> BinaryIO:
    """Open a regular file by its real path, following no link in any folder of it.

    A file that was exchanged for a link since its path was resolved is not read.
    Raises: OSError, PathOutside (a link, or not a regular file).
    """
    descriptor = open_folder(path.parent)
    try:
        file = open_in(descriptor, path.name)
    except OSError as exc:
        raise _link_or_error(path, exc) from exc
    finally:
        os.close(descriptor)
    if file is None:
        raise _exchanged(path)
    return file


def open_folder(path: Path) -> int:
    """Open a folder by its real path, following no link. Raises: as `open_real`."""
    flags = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
    descriptor = os.open(path.anchor, flags)
    for part in path.parts[1:]:
        try:
            below = os.open(part, flags, dir_fd=descriptor)
        except OSError as exc:
            raise _link_or_error(path, exc) from exc
        finally:
            os.close(descriptor)
        descriptor = below
    return descriptor


def open_in(folder: int | None, name: str) -> BufferedReader | None:
    """Open a regular file of an open folder; None for any other kind.

    Without a folder `name` is a path. Raises: OSError (ELOOP for a link).
    """
    # A pipe without a writer must not make the caller wait.
    flags = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(name, flags, dir_fd=folder)
    if stat.S_ISREG(os.fstat(descriptor).st_mode):
        return os.fdopen(descriptor, "rb")
    os.close(descriptor)
    return None


def _link_or_error(path: Path, error: OSError) -> OSError | PathOutside:
    is_link = error.errno in (errno.ELOOP, errno.ENOTDIR)
    return _exchanged(path) if is_link else error


def _exchanged(path: Path) -> PathOutside:
    return PathOutside(
        f"{path.name!r} was exchanged for a link, or is no regular file.", hint=HINT
    )


def composed(name: str) -> str:
    """Return a name as keyboards type it: `é` is one character (NFC)."""
    return unicodedata.normalize("NFC", name)


def stored_form(path: Path) -> Path:
    """Return an absolute path in the disk's spelling, if only its Unicode form differs.

    macOS writes the names of files decomposed, `é` as two characters (NFD), and Linux
    treats the two forms as two names. Raises: OSError, ValueError for an unusable path.
    """
    if str(path).isascii() or path.exists():
        return path
    found = Path(path.anchor)
    for part in path.parts[1:]:
        found /= _stored_name(found, part)
    return found


def _stored_name(folder: Path, name: str) -> str:
    if name.isascii() or (folder / name).exists() or not folder.is_dir():
        return name
    wanted = composed(name)
    same = sorted(e.name for e in folder.iterdir() if composed(e.name) == wanted)
    return same[0] if same else name
