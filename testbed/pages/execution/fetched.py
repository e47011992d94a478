"""The files that guests sent in a run, as pages show them: guests, then folders.

A name is a guest's: it is shown as safe text, and an address has its bytes.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import urlencode

from orchestration.project.fetched_files import Entry, FetchedFiles
from orchestration.terminal import plain
from testbed.models import Run, Task


@dataclass(frozen=True, slots=True)
class Place:
    """A guest's file or folder: its name as text, and the query of its addresses."""

    label: str
    query: str


@dataclass(frozen=True, slots=True)
class Row(Place):
    """A file or folder in a list."""

    is_folder: bool
    size_bytes: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class FetchedGuest(Place):
    """A guest of a fetch: how it ended there, and whether its files are on main."""

    task: Task
    is_there: bool


def fetched_files(run: Run, guest: str) -> FetchedFiles:
    """Return the files of one guest in a run."""
    return FetchedFiles(run.testbed.project.fetched(run.pk) / guest)


def fetched_guest(run: Run, task: Task) -> FetchedGuest:
    """Return a guest of a fetch."""
    guest = task.resource
    is_there = fetched_files(run, guest).is_there
    return FetchedGuest(guest, query_of(guest), task, is_there)


def are_removed(guests: Sequence[FetchedGuest]) -> bool:
    """Return whether files arrived and are not there any more."""
    arrived = (Task.Status.DONE, Task.Status.WARNING)
    return any(one.task.status in arrived and not one.is_there for one in guests)


def places_of(guest: str, path: str) -> Iterator[Place]:
    """Yield a guest, and each folder on the way to a path within its files."""
    yield Place(guest, query_of(guest))
    parts = path.split("/") if path else []
    for count, part in enumerate(parts, start=1):
        yield Place(shown(part), query_of(guest, "/".join(parts[:count])))


def row_of(guest: str, path: str, entry: Entry) -> Row:
    """Return an entry of a folder as its list shows it."""
    return Row(
        shown(entry.name),
        query_of(guest, f"{path}/{entry.name}".removeprefix("/")),
        entry.is_folder,
        entry.size_bytes,
        datetime.fromtimestamp(entry.modified_s, UTC),
    )


def shown(name: str) -> str:
    """Return a guest's name for a file as text without control characters."""
    text = os.fsencode(name).decode(errors="replace")
    return plain(text.replace("\r", "\N{SYMBOL FOR CARRIAGE RETURN}")) or "?"


def query_of(guest: str, path: str = "") -> str:
    """Return the query of an address, with the bytes of a path."""
    return urlencode({"guest": guest, **({"path": os.fsencode(path)} if path else {})})
