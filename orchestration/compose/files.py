"""Read access to the files that a YAML points to.

`rules/files.py` uses the protocol `Files`; tests pass a dictionary, the web and the
command line a `FolderFiles`. This and the catalogue are the only I/O of this package:
it never writes, and it refuses paths outside the folder, symbolic links resolved.
"""

import os
import stat
import unicodedata
from contextlib import suppress
from pathlib import Path
from typing import Protocol

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
        try:
            self._resolve(path)
        except PathOutside:
            return False
        return True

    def exists(self, path: str) -> bool:
        """Return whether the path exists."""
        return self.inside(path) and self._resolve(path).exists()

    def is_file(self, path: str) -> bool:
        """Return whether the path is a regular file."""
        return self.inside(path) and self._resolve(path).is_file()

    def is_folder(self, path: str) -> bool:
        """Return whether the path is a folder."""
        return self.inside(path) and self._resolve(path).is_dir()

    def size_bytes(self, path: str, *, at_most: int) -> int:
        """Return the size of a file, or of a folder as a tar file, approximately."""
        if not self.exists(path):
            return 0
        found = self._resolve(path)
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
        if not self.is_file(path):
            return b""
        try:
            with self._resolve(path).open("rb") as file:
                return file.read(size)
        except OSError:
            return b""

    def _resolve(self, path: str) -> Path:
        return resolve_inside(self.root, path)


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
