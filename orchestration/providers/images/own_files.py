"""Takes users' disks and ISO files into main's store, once for each version.

A user may exchange a file at any time, also between a check and its use by a program of
root. So a file is opened once, following no link, and its content is copied (blocks are
shared where the file system can) or unpacked into the images folder, where it is root's
and read-only. Everything else uses that copy; the user's path is given to no program.
Used by `fetch_images`.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from orchestration.compose.disk_files import HEAD_BYTES, packing_of, stamp_of
from orchestration.compose.files import open_real
from orchestration.errors import ImageFailed
from orchestration.files import make_passable
from orchestration.providers.images import protection, unpacking
from orchestration.providers.images.base_images import check_space
from orchestration.providers.images.digests import (
    digest_of,
    is_as_noted,
    noted_digest,
    write_stamp,
)
from orchestration.providers.images.download import not_stored
from orchestration.providers.images.locks import locked
from orchestration.transport.base import Log, OnProgress, Scope, Transport, command
from orchestration.transport.files import copying

SYNC_TIMEOUT_S = 600.0


@dataclass(frozen=True, slots=True)
class OwnFile:
    """A user's file, and the stamp that it had when the state was built."""

    path: Path
    stamp: str = ""


def ensure_taken(
    transport: Transport,
    own: OwnFile,
    target: Path,
    *,
    scope: Scope,
    on_progress: OnProgress,
    on_verify: OnProgress,
    log: Log,
) -> bool:
    """Copy or unpack a user's file to `target` on main; False when it is there.

    Raises: ImageFailed, PathOutside, NotEnoughSpace, Cancelled.
    """
    make_passable(target.parent)
    with locked(target, scope, log):
        if target.exists():
            _require_unchanged(target, scope, on_verify)
            protection.ensure_guarded(transport, target, scope=scope)
            return False
        part = target.with_name(f"{target.name}.part")
        try:
            with _opened(own) as file:
                _take(transport, own, file, part, scope=scope, on_progress=on_progress)
            digest = digest_of(part, "sha256", scope, on_verify)
            transport.run(protection.guard(str(part)), scope=scope)
            sync = command("sync", str(part))
            transport.run(sync, scope=scope, timeout_s=SYNC_TIMEOUT_S)
            part.replace(target)
        finally:
            part.unlink(missing_ok=True)
        write_stamp(target, digest)
    return True


def _require_unchanged(target: Path, scope: Scope, on_verify: OnProgress) -> None:
    """Check a copy by its stamp, which a worker that died did not write."""
    if noted_digest(target) is None:
        write_stamp(target, digest_of(target, "sha256", scope, on_verify))
    elif not is_as_noted(target, scope, on_verify):
        raise ImageFailed(
            f"The copy {target} of a user's file was changed after it was made.",
            hint="Take the testbeds that use it down, delete it, and start Up again "
            "with Recreate disks.",
        )


def _opened(own: OwnFile) -> BinaryIO:
    try:
        file = open_real(own.path)
    except OSError as exc:
        raise ImageFailed(
            f"The file {own.path} cannot be read.",
            hint="Put it back, or change kvm-compose.yaml.",
            detail=str(exc),
        ) from exc
    if own.stamp and stamp_of(os.fstat(file.fileno())) != own.stamp:
        file.close()
        raise _changed(own)
    return file


def _take(
    transport: Transport,
    own: OwnFile,
    file: BinaryIO,
    part: Path,
    *,
    scope: Scope,
    on_progress: OnProgress,
) -> None:
    before = stamp_of(os.fstat(file.fileno()))
    packing = packing_of(file.read(HEAD_BYTES))
    file.seek(0)
    if packing is None:
        _copy(file, part, scope, on_progress)
    else:
        packed = unpacking.Packed(file, own.path.name, packing)
        unpacking.unpack(transport, packed, part, scope=scope, on_progress=on_progress)
    if stamp_of(os.fstat(file.fileno())) != before:
        raise _changed(own)


def _copy(file: BinaryIO, part: Path, scope: Scope, on_progress: OnProgress) -> None:
    check_space(part, os.fstat(file.fileno()).st_blocks * 512)
    try:
        part.unlink(missing_ok=True)
        with part.open("xb") as writer:
            copying.copy_open(
                file, writer, check=scope.check_cancelled, on_progress=on_progress
            )
    except OSError as exc:
        raise not_stored(part, exc) from exc


def _changed(own: OwnFile) -> ImageFailed:
    return ImageFailed(
        f"The file {own.path} was changed after this run was planned.",
        hint="Start again when no program writes to it.",
    )
