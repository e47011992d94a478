"""Digests of large files, and the stamps that remember them.

A stamp lies beside its file in main's store and holds its digest, size, inode and time
of change: while these match, gigabytes need not be read again. When they do not, the
digest decides. Used by `base_images.py`, `transfer/source.py` and for golden images.
"""

import hashlib
from dataclasses import dataclass
from pathlib import Path

from orchestration.files import write_whole
from orchestration.transport.base import OnProgress, Scope

READ_BYTES = 4 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Digest:
    """A checksum to expect: `sha256` or `sha512`, in hex; empty when unknown."""

    algorithm: str
    value: str


@dataclass(frozen=True, slots=True)
class Stamp:
    """A verification's record: the digest of a file of this size, time and inode.

    The time of change is in nanoseconds: within a second a file may change again.
    """

    digest: Digest
    size_bytes: int
    changed_ns: int
    inode: int

    def __str__(self) -> str:
        name, value = self.digest.algorithm, self.digest.value
        return f"{name}:{value} {self.size_bytes} {self.changed_ns} {self.inode}\n"


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
    """Return the stamp, if it describes the file as it is now."""
    digest = noted_digest(target)
    try:
        stamp = _stamp_of(target, digest) if digest else None
        text = Path(stamp_name(str(target))).read_text()
    except OSError:
        return None
    return stamp if stamp and str(stamp) == text else None


def write_stamp(target: Path, digest: Digest) -> None:
    """Record that the file as it is now has this digest.

    The stamp is replaced as a whole, because others read it without a lock: half of one
    would be none, or report a change of the file.
    """
    name = stamp_name(str(target.absolute()))
    write_whole(Path(name), str(_stamp_of(target, digest)))


def noted_digest(target: Path) -> Digest | None:
    """Return the digest of a file's last verification, whatever the file is now."""
    try:
        text = Path(stamp_name(str(target))).read_text()
    except OSError:
        return None
    algorithm, _, value = text.partition(" ")[0].partition(":")
    return Digest(algorithm, value) if value else None


def is_as_noted(target: Path, scope: Scope, progress: OnProgress) -> bool:
    """Return whether a file has its stamp's digest; read it when the stamp is stale.

    A stamp is stale for a file that was moved or brought back, and for one that an
    earlier version verified. Raises: Cancelled.
    """
    if read_stamp(target) is not None:
        return True
    digest = noted_digest(target)
    if digest is None or digest.algorithm not in hashlib.algorithms_guaranteed:
        return False
    if (
        not target.is_file()
        or digest_of(target, digest.algorithm, scope, progress) != digest
    ):
        return False
    write_stamp(target, digest)
    return True


def stamp_name(target: str) -> str:
    """Return the name of a file's stamp."""
    return f"{target}.verified"


def _stamp_of(target: Path, digest: Digest) -> Stamp:
    status = target.stat()
    return Stamp(digest, status.st_size, status.st_mtime_ns, status.st_ino)
