"""The seed: a small ISO image labelled cidata, and the context archive on it.

It may hold the hash of a password, and secrets of an experiment, so only its owner and
QEMU's group may read it.

`cloud_init.py` builds its files and re-exports these functions. Runs on main only. The
same context gives the same archive byte by byte, so that a digest tells whether a seed
must be written again; the ISO itself carries the time at which it was written.
"""

import errno
import grp
import hashlib
import io
import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import pycdlib
from pycdlib.pycdlibexception import PyCdlibException

from orchestration.errors import ImageFailed, NotEnoughSpace
from orchestration.files import give_to_owner_of

LABEL = "cidata"
SEED_MODE = 0o640
# Of Debian, and of Fedora. Any user may be in the group kvm.
QEMU_GROUPS = ("libvirt-qemu", "qemu")
_READ_BYTES = 1024 * 1024


def seed_digest(files: Mapping[str, bytes | Path]) -> str:
    """Return the SHA-256 of a seed's files, independent of order."""
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
        part.unlink(missing_ok=True)
        part.touch(mode=0o600)
        _write_iso(part, files)
        give_to_owner_of(target.parent, part)
        _share_with_qemu(part)
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


def _share_with_qemu(seed: Path) -> None:
    """Let QEMU's group read; libvirt gives the file to QEMU's user where it may."""
    for name in QEMU_GROUPS:
        with suppress(KeyError, PermissionError):
            os.chown(seed, -1, grp.getgrnam(name).gr_gid)
            seed.chmod(SEED_MODE)
            return


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
