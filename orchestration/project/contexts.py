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
from contextlib import contextmanager
from pathlib import Path, PurePosixPath

from orchestration.compose.files import open_folder, open_in, resolve_inside
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
            for folder, entry, name in members_of(resolved):
                _add(archive, folder, entry, name)
        except OSError as exc:
            raise ImageFailed(
                f"The context {source.name} cannot be read.", detail=str(exc)
            ) from exc
    return buffer.getvalue()


def context_digest(source: Path, root: Path) -> str:
    """Digest a context as it is packed. Raises: as `context_archive`."""
    return hashlib.sha256(context_archive(source, root)).hexdigest()


def members_of(source: Path) -> Iterator[tuple[int, str, str]]:
    """Yield the open folder, the name in it, and the name in the archive of each entry.

    Folders are opened one below the other, so that no link leads out of the context.
    """
    if not source.is_dir():
        with _opened(source.parent) as folder:
            yield folder, source.name, source.name
        return
    with _opened(source) as top:
        for path, folders, names, folder in os.fwalk(".", dir_fd=top):
            folders.sort()
            links = [name for name in folders if _is_link(folder, name)]
            for name in sorted([*names, *folders]):
                yield folder, name, PurePosixPath(path, name).as_posix()
            folders[:] = [name for name in folders if name not in links]


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    descriptor = open_folder(folder)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def _is_link(folder: int, name: str) -> bool:
    status = os.stat(name, dir_fd=folder, follow_symlinks=False)
    return stat.S_ISLNK(status.st_mode)


def _add(archive: tarfile.TarFile, folder: int, entry: str, name: str) -> None:
    status = os.stat(entry, dir_fd=folder, follow_symlinks=False)
    info = tarfile.TarInfo(name)
    # Every user of the guest reads a context, though on main only its owner does.
    is_open = stat.S_ISDIR(status.st_mode) or status.st_mode & stat.S_IXUSR
    info.mtime, info.mode = FIXED_MTIME_S, 0o755 if is_open else 0o644
    info.uname = info.gname = "root"
    if stat.S_ISLNK(status.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, os.readlink(entry, dir_fd=folder)
        archive.addfile(info)
    elif stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
    elif file := open_in(folder, entry):
        with file:
            info.size = os.fstat(file.fileno()).st_size
            archive.addfile(info, file)
    else:
        raise ImageFailed(
            f"The context holds {name}, which is neither a file nor a folder.",
            hint="Remove it (a socket, a pipe or a device).",
        )
