"""The seed: a small ISO image labelled cidata, and the context archive on it.

`cloud_init.py` builds what is written on it and hands these on. Runs on main only.
The same context gives the same archive byte by byte, so that a digest tells whether a
seed must be written again; the ISO itself carries the time at which it was written.
"""

import errno
import hashlib
import io
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from pathlib import Path

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from orchestration.errors import ImageFailed, NotEnoughSpace, PathOutside

LABEL = "cidata"
# 2000-01-01: tools that dislike 1970 (zip) are content, and it never changes.
FIXED_MTIME_S = 946684800
_READ_BYTES = 1024 * 1024


def seed_digest(files: Mapping[str, bytes | Path]) -> str:
    """Return the SHA-256 of what a seed is made from, independent of order."""
    digest = hashlib.sha256()
    for name in sorted(files):
        own = hashlib.sha256()
        for chunk in _chunks(files[name]):
            own.update(chunk)
        digest.update(f"{name}\0{own.hexdigest()}\n".encode())
    return digest.hexdigest()


def write_seed(target: Path, files: Mapping[str, bytes | Path]) -> None:
    """Write the files to an ISO 9660 image with Joliet and Rock Ridge names.

    Whole or not at all. Raises: ImageFailed, NotEnoughSpace.
    """
    part = target.with_name(f".{target.name}.part")
    try:
        _write_iso(part, files)
        part.replace(target)
    except OSError as exc:
        if exc.errno in (errno.ENOSPC, errno.EDQUOT):
            raise NotEnoughSpace(
                f"There is no room for the seed {target.name} in {target.parent}.",
                hint="Make room there, then start again.",
            ) from exc
        raise _not_written(target, exc) from exc
    except PyCdlibException as exc:
        raise _not_written(target, exc) from exc
    finally:
        part.unlink(missing_ok=True)


def context_archive(source: Path, root: Path) -> bytes:
    """Pack a folder's contents, or one file, as a tar with fixed owners and times.

    Links inside are packed as links, never followed. Raises: PathOutside when
    `source` is not inside `root`; ImageFailed for what is neither file nor folder.
    """
    resolved = source.resolve()
    if not resolved.is_relative_to(root.resolve()):
        raise PathOutside(
            f"The context {source.name} leads out of the testbed's folder.",
            hint="Put the files into the testbed's folder.",
        )
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


def _write_iso(path: Path, files: Mapping[str, bytes | Path]) -> None:
    iso = pycdlib.PyCdlib()
    iso.new(interchange_level=3, joliet=3, rock_ridge="1.09", vol_ident=LABEL)
    try:
        for number, name in enumerate(sorted(files)):
            content, iso_path, joliet = files[name], f"/FILE{number}.;1", f"/{name}"
            if isinstance(content, Path):
                iso.add_file(
                    str(content), iso_path=iso_path, rr_name=name, joliet_path=joliet
                )
            else:
                iso.add_fp(
                    io.BytesIO(content),
                    len(content),
                    iso_path=iso_path,
                    rr_name=name,
                    joliet_path=joliet,
                )
        iso.write(str(path))
    finally:
        iso.close()


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
    info.mtime, info.mode = FIXED_MTIME_S, stat.S_IMODE(status.st_mode) & 0o755
    info.uname = info.gname = "root"
    if stat.S_ISLNK(status.st_mode):
        info.type, info.linkname = tarfile.SYMTYPE, str(path.readlink())
        archive.addfile(info)
    elif stat.S_ISDIR(status.st_mode):
        info.type = tarfile.DIRTYPE
        archive.addfile(info)
    elif stat.S_ISREG(status.st_mode):
        # Not followed even if somebody puts a link there just now.
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
        with os.fdopen(descriptor, "rb") as file:
            info.size = os.fstat(descriptor).st_size
            archive.addfile(info, file)
    else:
        raise ImageFailed(
            f"The context holds {name}, which is neither a file nor a folder.",
            hint="Remove it (a socket, a pipe or a device).",
        )


def _chunks(content: bytes | Path) -> Iterator[bytes]:
    if isinstance(content, bytes):
        yield content
        return
    with content.open("rb") as file:
        while chunk := file.read(_READ_BYTES):
            yield chunk


def _not_written(target: Path, error: Exception) -> ImageFailed:
    return ImageFailed(
        f"The seed {target.name} could not be written.", detail=str(error)
    )
