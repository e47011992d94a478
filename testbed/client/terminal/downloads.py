"""Long answers of the server into a new file of this machine, whole or not at all."""

import errno
import os
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from orchestration.errors import TestbedError
from orchestration.files import part_path
from testbed.client.terminal.exits import Refusal, WrongUse

OUTPUT = Path("-")
# Of a file system that has no hard links, as of a memory card.
_WITHOUT_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)


def require_new(file: Path) -> None:
    """Require that there is no file of this name; `-` is none, and no terminal.

    Others wrote the bytes: a terminal would do what codes among them say. Raises:
    Refusal, WrongUse.
    """
    if file == OUTPUT and sys.stdout.isatty():
        raise WrongUse("This is no text.", hint="Name a file, or use a pipe.")
    if file != OUTPUT and os.path.lexists(file):
        raise Refusal(
            f"{file} is there already.", hint="Name a new file: nothing is overwritten."
        )


def save_new(file: Path, pieces: Iterator[bytes]) -> None:
    """Write pieces into a new file, or to standard output for `-`.

    Raises: Refusal (it is there), TestbedError (it cannot be written, as on a full
    disk), and as `pieces`; no part is left then.
    """
    require_new(file)
    if file == OUTPUT:
        for piece in pieces:
            sys.stdout.buffer.write(piece)
        sys.stdout.buffer.flush()
        return
    part = Path(part_path(str(file.absolute())))
    try:
        with part.open("xb") as to:
            for piece in pieces:
                to.write(piece)
        _name(part, file)
    except FileExistsError:
        require_new(file)
        raise
    except OSError as exc:
        raise TestbedError(
            f"{file} was not written: {exc.strerror or exc}.",
            hint="Nothing is left of it here; it is still on the server.",
        ) from exc
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


def _name(part: Path, file: Path) -> None:
    """Give a whole part its name. Raises: OSError, Refusal (one is there)."""
    try:
        os.link(part, file)
    except OSError as exc:
        if exc.errno not in _WITHOUT_LINKS:
            raise
        require_new(file)
        part.rename(file)
