"""Unpacks the files that guests sent, as they come, into a folder of this machine.

Guests chose the names, links and modes. Only folders, files and further names of files
are made, in a new folder that nothing else writes to; each is readable as the user's
usual files are. All of it gets to its place at the end, or none.
"""

import io
import os
import shutil
import tarfile
import tempfile
from collections.abc import Iterator
from contextlib import closing, suppress
from pathlib import Path
from typing import IO

from orchestration.errors import TestbedError
from testbed.client.rest.server import Server
from testbed.client.terminal.exits import Refusal
from testbed.client.terminal.tables import say

_FILE, _PROGRAM = 0o666, 0o777
_MOST_NAMED = 5


def require_empty(folder: Path) -> None:
    """Require that a folder is new or empty. Raises: Refusal, OSError."""
    with suppress(FileNotFoundError):
        if any(folder.iterdir()):
            raise Refusal(
                f"{folder} is not empty.",
                hint="Name a new folder with --to: nothing is overwritten.",
            )


def take_fetched(server: Server, number: int, folder: Path) -> None:
    """Put the fetched files of a run into a folder, with a folder for each guest.

    Raises: Refusal (the folder is not empty), TestbedError, ServerProblem,
    ServerUnreachable; nothing is left in the folder then.
    """
    path = f"/runs/{number}/fetched/archive"
    with closing(server.pieces(path)) as pieces:
        skipped = unpack(pieces, folder)
    say(f"The files are in {folder}.")
    if skipped:
        more = ", …" if len(skipped) > _MOST_NAMED else ""
        names = ", ".join(skipped[:_MOST_NAMED])
        say(f"Left out, as no files or folders: {names}{more}")


def unpack(pieces: Iterator[bytes], folder: Path) -> list[str]:
    """Unpack a tar into a folder, without its top folder; return what was left out.

    Raises: Refusal, TestbedError (unreadable archive, full disk), and what `pieces`
    raises.
    """
    require_empty(folder)
    is_new = not folder.exists()
    try:
        folder.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".unpacked-", dir=folder) as part:
            skipped = _unpacked(pieces, Path(part))
            for entry in Path(part).iterdir():
                entry.rename(folder / entry.name)
    except BaseException as exc:
        if is_new:
            with suppress(OSError):
                folder.rmdir()
        if isinstance(exc, OSError):
            raise TestbedError(
                f"The files were not written to {folder}: {exc.strerror or exc}.",
                hint="They are still on the server, on the page of the run.",
            ) from exc
        if isinstance(exc, tarfile.TarError):
            raise TestbedError(
                f"The archive of the files cannot be read: {exc}.",
                hint="Nothing was written. Run the command again.",
            ) from exc
        raise
    return skipped


def _unpacked(pieces: Iterator[bytes], root: Path) -> list[str]:
    """Make the members below `root`, which is empty; return what was left out."""
    skipped: list[str] = []
    stream = io.BufferedReader(_Pieces(pieces))
    with tarfile.open(fileobj=stream, mode="r|") as archive:
        while (member := archive.next()) is not None:
            # All names would stay in memory.
            archive.members.clear()  # type: ignore[attr-defined] # not in typeshed
            place = _below(root, member.name)
            if member.isdir():
                place.mkdir(parents=True, exist_ok=True)
            elif member.islnk():
                place.parent.mkdir(parents=True, exist_ok=True)
                os.link(_below(root, member.linkname), place)
            elif (content := _content(archive, member)) is not None:
                _write(content, place, is_program=bool(member.mode & 0o100))
            else:
                skipped.append("/".join(place.relative_to(root).parts))
    return skipped


def _content(archive: tarfile.TarFile, member: tarfile.TarInfo) -> IO[bytes] | None:
    """Return a file's bytes; None for anything else, and for one with holes."""
    is_file = member.isreg() and not member.issparse()
    return archive.extractfile(member) if is_file else None


def _below(root: Path, name: str) -> Path:
    """Return a member's place, without the archive's top folder. Raises: TarError."""
    parts = name.split("/")
    if "\0" in name or any(part in ("", ".", "..") for part in parts):
        raise tarfile.ReadError(f"the name {name!r} leaves the folder")
    return root.joinpath(*parts[1:])


def _write(content: IO[bytes], place: Path, *, is_program: bool) -> None:
    place.parent.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    descriptor = os.open(place, flags, _PROGRAM if is_program else _FILE)
    with os.fdopen(descriptor, "wb") as file:
        shutil.copyfileobj(content, file)


class _Pieces(io.RawIOBase):
    """Bytes that come in pieces of any size, as a file."""

    def __init__(self, pieces: Iterator[bytes]) -> None:
        self._pieces = pieces
        self._left = memoryview(b"")

    def readable(self) -> bool:
        """Return True."""
        return True

    def readinto(self, buffer: object) -> int:
        """Fill a part of `buffer`; return its size, 0 at the end."""
        to = memoryview(buffer)  # type: ignore[arg-type] # typeshed wants 3.12's Buffer
        while not self._left:
            piece = next(self._pieces, None)
            if piece is None:
                return 0
            self._left = memoryview(piece)
        size = min(len(to), len(self._left))
        to[:size] = self._left[:size]
        self._left = self._left[size:]
        return size
