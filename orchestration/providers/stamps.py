"""Digests of large files, and the stamps that remember them.

A stamp lies beside its file and tells its digest, size and time of change: while
these are still so, gigabytes need not be read again. Used by `images.py`, for main's
store and (as text) for the hosts'.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from orchestration.transport.base import OnProgress, Scope

READ_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Digest:
    """A checksum to expect: `sha256` or `sha512`, in hex; empty when unknown."""

    algorithm: str
    value: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """What was verified: the digest of a file of this size and time of change."""

    digest: Digest
    size_bytes: int
    changed_s: int

    def __str__(self) -> str:
        name, value = self.digest.algorithm, self.digest.value
        return f"{name}:{value} {self.size_bytes} {self.changed_s}\n"


def digest_of(path: Path, algorithm: str, scope: Scope, progress: OnProgress) -> Digest:
    """Hash a file. Raises: Cancelled."""
    running, done, total = hashlib.new(algorithm), 0, path.stat().st_size
    progress(0, total)
    with path.open("rb") as file:
        while chunk := file.read(READ_BYTES):
            running.update(chunk)
            done += len(chunk)
            progress(done, total)
            scope.check_cancelled()
    return Digest(algorithm, running.hexdigest())


def read_stamp(target: Path) -> Stamp | None:
    """Return the stamp, if it is about the file as it is now."""
    try:
        words = Path(stamp_name(str(target))).read_text().split()
        status = target.stat()
        algorithm, _, value = words[0].partition(":")
        stamp = Stamp(Digest(algorithm, value), int(words[1]), int(words[2]))
    except (OSError, ValueError, IndexError):
        return None
    is_current = (status.st_size, int(status.st_mtime)) == (
        stamp.size_bytes,
        stamp.changed_s,
    )
    return stamp if is_current else None


def write_stamp(target: Path, digest: Digest) -> None:
    """Note that the file as it is now has this digest."""
    status = target.stat()
    stamp = Stamp(digest, status.st_size, int(status.st_mtime))
    Path(stamp_name(str(target))).write_text(str(stamp))


def stamp_name(target: str) -> str:
    """Return the name of a file's stamp."""
    return f"{target}.verified"
