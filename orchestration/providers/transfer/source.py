"""The files of main that go to hosts, with the digests that identify them there.

A file in main's store has its digest in a stamp beside it. Beside a user's file nothing
is written: its digest is remembered in main's images folder, under its path, for as
long as size and time of change stay. A user who exchanges the file can set both, so a
transfer by a remembered digest is verified by it. Used by `push_images`.
"""

import contextlib
import hashlib
import time
from dataclasses import dataclass, field
from pathlib import Path

from orchestration.errors import ImageFailed
from orchestration.files import write_whole
from orchestration.providers.images.digests import (
    Digest,
    digest_of,
    is_as_noted,
    noted_digest,
    write_stamp,
)
from orchestration.providers.images.locks import locked, remove_old_locks
from orchestration.transport.base import Log, OnProgress, Scope, no_progress

DIGESTS = ".digests"


@dataclass(frozen=True, slots=True)
class Content:
    """A file of main, its digest, and its size and time when that was right.

    `note` is the source of a digest that was remembered, not made just now.
    """

    path: Path
    digest: Digest
    size: int
    changed_ns: int
    note: Path | None = field(default=None, compare=False)


def stored_content(
    path: Path, *, scope: Scope, on_progress: OnProgress | None = None
) -> Content:
    """Return an image of main's store. Raises: ImageFailed, Cancelled."""
    if not path.is_file():
        raise ImageFailed(
            f"The image {path.name} is not in main's store.",
            hint="Run `up` again: it is fetched first.",
        )
    status, progress = path.stat(), on_progress or no_progress
    digest = noted_digest(path)
    if digest is None:
        digest = digest_of(path, "sha256", scope, progress)
        write_stamp(path, digest)
    elif not is_as_noted(path, scope, progress):
        raise ImageFailed(
            f"The image {path.name} in main's store was changed after it was verified.",
            hint="Start Up again: it checks the image, and fetches it again if it can.",
        )
    return Content(path, digest, status.st_size, status.st_mtime_ns)


def own_content(
    path: Path,
    images_dir: Path,
    *,
    scope: Scope,
    on_progress: OnProgress,
    log: Log,
) -> Content:
    """Return a user's file; read whole when it is new or was changed.

    Raises: ImageFailed, Cancelled.
    """
    if not path.is_file():
        raise ImageFailed(
            f"The disk {path} no longer exists.",
            hint="Put it back, or change kvm-compose.yaml.",
        )
    note = images_dir / DIGESTS / hashlib.sha256(str(path).encode()).hexdigest()[:32]
    note.parent.mkdir(parents=True, exist_ok=True)
    with locked(note, scope, log, purpose="digest"):
        status = path.stat()
        known = f"{status.st_size} {status.st_mtime_ns}"
        value = remembered = _remembered(note, known)
        if not value:
            log(f"{path.name} is read for its digest, once while it stays as it is")
            value = digest_of(path, "sha256", scope, on_progress).value
            write_whole(note, f"{known} {value}\n")
    return Content(
        path,
        Digest("sha256", value),
        status.st_size,
        status.st_mtime_ns,
        note if remembered else None,
    )


def remove_old_notes(images_dir: Path, *, age_s: float) -> None:
    """Remove old notes of digests, most of them of files that are gone."""
    folder, before = images_dir / DIGESTS, time.time() - age_s
    for note in folder.glob("[!.]*"):
        with contextlib.suppress(FileNotFoundError):
            if note.stat().st_mtime < before:
                note.unlink()
    remove_old_locks(folder, age_s=age_s)


def _remembered(note: Path, known: str) -> str:
    try:
        found, _, value = note.read_text().strip().rpartition(" ")
    except OSError:
        return ""
    return value if found == known else ""
