"""Packs a guest's context, a folder or file of the user, for its seed.

The same context gives the same archive byte by byte, so that a digest shows whether a
seed, or a golden image, must be made again.
"""

import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator
from pathlib import Path

from orchestration.compose.files import resolve_inside
from orchestration.errors import ImageFailed

# 2000-01-01: zip cannot store 1970. A fixed time keeps archives equal.
FIXED_MTIME_S = 946684800


def context_archive(source: Path, root: Path) -> bytes:
    """Pack a folder's contents, or one file, as a tar with fixed owners and times.

    Links inside are packed as links, never followed. Raises: PathOutside when `source`
    leads out of `root`; ImageFailed when it is neither file nor folder.
    """
    resolved = resolve_inside(root, source)
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w", format=tarfile.GNU_FORMAT) as archive:
        try:
            for path, name in _members(resolved):
                _add(archive, path, name)
        except OSError as exc:
            raise ImageFailed(
                f"The context {source.name} cannot be read.", detail=str(exc)
            ) from exc
    return buffer.getvalue()


def context_digest(source: Path, root: Path) -> str:
    """Digest a context as it is packed. Raises: as `context_archive`."""
    return hashlib.sha256(context_archive(source, root)).hexdigest()


def _members(source: Path) -> Iterator[tuple[Path, str]]:
    if not source.is_dir():
        yield source, source.name
        return
    for folder, folders, names in os.walk(source):
        folders.sort()
        links = [name for name in folders if Path(folder, name).is_symlink()]
        for name in sorted([*names, *folders]):
            path = Path(folder, name)
            yield path, path.relative_to(source).as_posix()
        folders[:] = [name for name in folders if name not in links]


def _add(archive: tarfile.TarFile, path: Path, name: str) -> None:
    status = path.lstat()
    info = tarfile.TarInfo(name)
    # Every user of the guest reads a context, though on main only its owner does.
    is_open = stat.S_ISDIR(status.st_mode) or status.st_mode & stat.S_IXUSR
    info.mtime, info.mode = FIXED_MTIME_S, 0o755 if is_open else 0o644
    info.uname = info.gname = "root"
    if stat.S_ISLNK(status.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
        archive.addfile(info)
    elif stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
    elif stat.S_ISREG(status.st_mode):
        # Not followed, even if the file was just replaced by a link.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            info.size = os.fstat(descriptor).st_size
            archive.addfile(info, file)
    else:
        raise ImageFailed(
            f"The context holds {name}, which is neither a file nor a folder.",
            hint="Remove it (a socket, a pipe or a device).",
        )
