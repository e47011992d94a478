"""Writes files atomically: readers see the old or the new file, never a part.

Files are their owner's alone unless a caller says otherwise; folders that QEMU's user
must pass are made here. For small contents in memory. Copies of large files have a
writer that can be cancelled, and a lock that shows whether it lives: see
`transport/files/parts.py`.
"""

import os
import secrets
from pathlib import Path, PurePosixPath

# Others may pass and list nothing.
PASSABLE = 0o711


def write_whole(
    path: Path, data: bytes | str, *, mode: int = 0o600, durable: bool = False
) -> None:
    """Write a file beside `path`, then rename it; `durable` waits for the disk.

    The folder has to exist. Raises: OSError; nothing is left beside `path` then.
    """
    content = data.encode() if isinstance(data, str) else data
    part = Path(part_path(str(path.absolute())))
    # Never readable by more users than the final file.
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            give_to_owner_of(path.parent, descriptor)
            file.write(content)
            file.flush()
            if durable:
                os.fsync(descriptor)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def make_passable(folder: Path) -> None:
    """Make a folder through which every user may pass; an existing one stays as it is.

    The umask does not count, also for missing folders above.
    """
    missing = [each for each in (folder, *folder.parents) if not each.exists()]
    for each in reversed(missing):
        each.mkdir(exist_ok=True)
        each.chmod(PASSABLE)


def give_to_owner_of(folder: Path, made: int | Path) -> None:
    """Give a file or folder that root made below a folder to that folder's owner.

    The web may run under an account of its own, and reads what root's workers write.
    """
    owner = folder.stat()
    if os.geteuid() == 0 and owner.st_uid != 0:
        os.chown(made, owner.st_uid, owner.st_gid)


def part_path(target: str) -> str:
    """Return the path of the temporary file beside `target`. Raises: ValueError."""
    path = PurePosixPath(target)
    if not path.is_absolute() or not path.name:
        raise ValueError(f"not an absolute path of a file: {target!r}")
    return str(path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.part"))
