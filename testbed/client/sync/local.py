"""The files of a folder that belong to its testbed, with their digests.

Left out are Git's and the client's own folders, and all that `.testbedignore` names in
the notation of `.gitignore`. No link is followed out of the folder.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass
from errno import ELOOP
from pathlib import Path

from pathspec import GitIgnoreSpec

from orchestration.compose.files import composed
from orchestration.errors import TestbedError
from testbed.client.sync.digests import Digests, NotRegular, opened

IGNORE_FILE = ".testbedignore"
# The last is a copy of the server's file that did not arrive whole.
PART = f".*.{8 * '[0-9a-f]'}.part"
ALWAYS_IGNORED = (".testbed/", ".git/", IGNORE_FILE, PART)


@dataclass(frozen=True, slots=True)
class LocalFiles:
    """Digests by path; `left_out` are links and devices, which are not sent."""

    digests: dict[str, str]
    left_out: tuple[str, ...]


def read_local(folder: Path, known: Digests | None = None) -> LocalFiles:
    """Digest the files of a folder, except those whose digests are `known`.

    Raises: TestbedError (a file cannot be read, or its name is not in UTF-8).
    """
    ignored, known = ignored_in(folder), known or Digests()
    digests, left_out = {}, []
    for path in _paths(folder, ignored):
        name = composed(path.relative_to(folder).as_posix())
        if path.is_symlink() or not path.is_file():
            left_out.append(name)
        else:
            _require_sendable(name)
            digests[name] = _digest(path, name, known)
    known.save()
    return LocalFiles(digests, tuple(left_out))


def ignored_in(folder: Path) -> GitIgnoreSpec:
    """Return the patterns of what is no part of the testbed. Raises: TestbedError."""
    try:
        text = content(folder, IGNORE_FILE).decode()
    except FileNotFoundError:
        text = ""
    except UnicodeDecodeError as exc:
        raise TestbedError(
            f"{IGNORE_FILE} is no text in UTF-8.", hint="Save it in UTF-8."
        ) from exc
    return GitIgnoreSpec.from_lines([*text.splitlines(), *ALWAYS_IGNORED])


def content(folder: Path, name: str) -> bytes:
    """Read a file of a folder. Raises: FileNotFoundError, TestbedError (as of a link)."""
    try:
        with opened(folder / name) as file:
            return file.read()
    except FileNotFoundError:
        raise
    except (OSError, NotRegular) as exc:
        is_other = isinstance(exc, NotRegular) or exc.errno == ELOOP
        hint = "a file of this folder" if is_other else "read by your account"
        raise _unreadable(name, exc, f"Let it be {hint}.") from exc


def _paths(folder: Path, ignored: GitIgnoreSpec) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        below = Path(place).relative_to(folder)
        links = [name for name in folders if Path(place, name).is_symlink()]
        folders[:] = sorted(
            name
            for name in folders
            if name not in links and not ignored.match_file(f"{below / name}/")
        )
        for name in sorted([*names, *links]):
            if not ignored.match_file(str(below / name)):
                yield Path(place, name)


def _require_sendable(name: str) -> None:
    """Require a name that an address can hold. Raises: TestbedError."""
    try:
        name.encode()
    except UnicodeEncodeError as exc:
        shown = name.encode(errors="backslashreplace").decode()
        raise TestbedError(
            f"The name of {shown} is not in UTF-8.",
            hint=f"Rename it, or leave it out by a pattern in {IGNORE_FILE}.",
        ) from exc


def _digest(path: Path, name: str, known: Digests) -> str:
    try:
        return known.of(path)
    except (OSError, NotRegular) as exc:
        hint = f"Nothing was sent. Let it be read, or name it in {IGNORE_FILE}."
        raise _unreadable(name, exc, hint) from exc


def _unreadable(name: str, exc: Exception, hint: str) -> TestbedError:
    reason = "it is a link, a FIFO or a device"
    if isinstance(exc, OSError) and exc.errno != ELOOP:
        reason = exc.strerror or str(exc)
    return TestbedError(f"{name} cannot be read: {reason}.", hint=hint)
