"""Digests of the user's scripts and contexts in their current versions.

`inputs.py` builds states from them; the web checks with them, for each plan and each
page, whether an input of a golden image was edited. A context may hold many megabytes:
it is read again only when the metadata of its files changed.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from orchestration.compose.files import FolderFiles, open_real, resolve_inside
from orchestration.compose.rules.files import CONTEXT_LIMIT_BYTES
from orchestration.errors import PathOutside, TestbedError
from orchestration.project.contexts import context_digest
from orchestration.state.model import GuestState, State

PIECE_BYTES = 1024 * 1024
Entry = tuple[str, int, int, int, int, int]
Look = tuple[Entry, ...]


def digest_of_script(files: Path, path: str) -> str:
    """Digest one of the user's files; empty without one. Raises: PathOutside."""
    file = resolve_inside(files, path)
    return _script(file, look_at(file)) if file.is_file() else ""


def digest_of_file(file: Path) -> str:
    """Digest a file by its real path. Raises: OSError, PathOutside (a link)."""
    return _script(file, look_at(file))


def digest_of_open(file: BinaryIO, path: Path) -> str:
    """Digest an open file, of this real path unless it was replaced since.

    The file is read again only when its metadata changed, as in `digest_of_file`.
    Raises: OSError.
    """
    look = (_entry(path, os.fstat(file.fileno())),)
    with suppress(FileNotFoundError, PathOutside):  # it is being replaced
        if look_at(path) == look:
            digest = _script(path, look)
            if look_at(path) == look:
                return digest
    return _digest_in(file)


def digest_of_context(files: Path, path: str) -> str:
    """Digest a context as it is packed. Raises: PathOutside, ImageFailed."""
    source = resolve_inside(files, path)
    return _context(source, files.resolve(), look_at(source))


def look_at(source: Path) -> Look:
    """Return the metadata of all files below, which changes with any of them."""
    return tuple(sorted(_entries(source)))


def with_files_now(files: Path, state: State) -> State:
    """Return the state with the current digests of scripts and contexts.

    An unreadable file keeps its digest: `up` reports the problem.
    """
    scripts = [s for g in state.guests for s in (g.setup_script, g.run_script) if s]
    now = {path: _script_now(files, path) for path in {s.path for s in scripts}}
    paths = {guest.context for guest in state.guests if guest.context}
    contexts = {path: _context_now(files, path) for path in paths}
    guests = tuple(
        _with_context(_with_scripts(guest, now), contexts) for guest in state.guests
    )
    is_same = all(one is other for one, other in zip(guests, state.guests, strict=True))
    return state if is_same else state.model_copy(update={"guests": guests})


def _with_scripts(guest: GuestState, now: Mapping[str, str]) -> GuestState:
    scripts = {"setup_script": guest.setup_script, "run_script": guest.run_script}
    edited = {
        key: script.model_copy(update={"sha256": now[script.path]})
        for key, script in scripts.items()
        if script and now[script.path] not in ("", script.sha256)
    }
    return guest.model_copy(update=edited) if edited else guest


def _with_context(guest: GuestState, now: Mapping[str, str]) -> GuestState:
    found = now.get(guest.context or "", "")
    if found in ("", guest.context_sha256):
        return guest
    return guest.model_copy(update={"context_sha256": found})


def is_golden_edited(files: Path, state: State) -> bool:
    """Return whether a script or context of a golden image was edited since."""
    return any(
        golden.guest.setup_script is not None
        and (
            _script_now(files, golden.guest.setup_script.path)
            != golden.guest.setup_script.sha256
            or _context_now(files, golden.guest.context) != golden.context_sha256
        )
        for golden in state.goldens
    )


def _script_now(files: Path, path: str) -> str:
    try:
        return digest_of_script(files, path)
    except (TestbedError, OSError):  # the checks report it
        return ""


def _context_now(files: Path, path: str | None) -> str:
    """Digest a context; '' for one that cannot be packed or is too large."""
    if not path:
        return ""
    size = FolderFiles(files).size_bytes(path, at_most=CONTEXT_LIMIT_BYTES)
    if size > CONTEXT_LIMIT_BYTES:
        return ""
    try:
        return digest_of_context(files, path)
    except (TestbedError, OSError):
        return ""


@lru_cache(maxsize=1024)
def _script(file: Path, look: Look) -> str:
    """Digest a script; `look` is taken before and keys the cache, as in `_context`."""
    with open_real(file) as script:
        return _digest_in(script)


def _digest_in(file: BinaryIO) -> str:
    digest = sha256()
    file.seek(0)
    for piece in iter(lambda: file.read(PIECE_BYTES), b""):
        digest.update(piece)
    return digest.hexdigest()


@lru_cache(maxsize=64)
def _context(source: Path, root: Path, look: Look) -> str:
    """Digest a context; `look` is taken before and keys the cache."""
    return context_digest(source, root)


def _entries(source: Path) -> Iterator[Entry]:
    for path in (source, *source.rglob("*")):
        try:
            found = path.lstat()
        except OSError:  # it was just removed, or was never there
            continue
        yield _entry(path, found)


def _entry(path: Path, found: os.stat_result) -> Entry:
    times = (found.st_mtime_ns, found.st_ctime_ns)
    return (str(path), found.st_ino, found.st_mode, found.st_size, *times)
