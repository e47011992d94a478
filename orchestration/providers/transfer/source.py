"""The files of main that go to hosts, with the digests that identify them there.

A file in main's store, also the copy of a user's file, has its digest in a stamp beside
it. Used by `push_images`.
"""

from dataclasses import dataclass
from pathlib import Path

from orchestration.errors import ImageFailed
from orchestration.providers.images.digests import (
    Digest,
    digest_of,
    is_as_noted,
    noted_digest,
    write_stamp,
)
from orchestration.transport.base import OnProgress, Scope, no_progress


@dataclass(frozen=True, slots=True)
class Content:
    """A file of main, its digest, and its size and time when that was right."""

    path: Path
    digest: Digest
    size: int
    changed_ns: int


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
