"""Writes files atomically: readers see the old or the new file, never a part.

For small contents in memory. Copies of large files have a writer that can be cancelled,
and a lock that shows whether it lives: see `transport/files/parts.py`.
"""

import os
import secrets
from pathlib import Path, PurePosixPath


def write_whole(
    path: Path, data: bytes | str, *, mode: int = 0o644, durable: bool = False
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
            file.write(content)
            file.flush()
            if durable:
                os.fsync(descriptor)
        part.replace(path)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def part_path(target: str) -> str:
    """Return the path of the temporary file beside `target`. Raises: ValueError."""
    path = PurePosixPath(target)
    if not path.is_absolute() or not path.name:
        raise ValueError(f"not an absolute path of a file: {target!r}")
    return str(path.with_name(f".{path.name[:200]}.{secrets.token_hex(4)}.part"))
