"""The files that guests sent in a run, as pages show them: guests, then folders.

A name is a guest's: it is shown as safe text, and an address has its bytes.
"""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from urllib.parse import parse_qs, urlencode

from django.http import Http404

from orchestration.errors import TestbedError
from orchestration.plan.model import Kind
from orchestration.project.fetched_files import Entry, FetchedFiles, end_of_archive
from orchestration.terminal import plain
from testbed.models import Run, Task
from testbed.pages.streaming import in_pieces
from testbed.runs.event_rows import clean


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


def asked_for(query: str) -> tuple[str, str]:
    """Return the guest and the path of an address's query; a path is any bytes."""
    found = parse_qs(query, errors="surrogateescape")
    guest, path = (found.get(name, [""])[-1] for name in ("guest", "path"))
    return clean(guest), path


def tasks_of_fetch(run: Run) -> list[Task]:
    """Return the task of each guest of a fetch."""
    found = Task.objects.filter(instruction__run=run).exclude(
        instruction__kind=Kind.END
    )
    return list(found.order_by("instruction__index", "id").defer("detail"))


def task_of_guest(run: Run, guest: str) -> Task:
    """Return the task of a guest of this run. Raises: Http404."""
    found = Task.objects.filter(instruction__run=run, resource=guest).first()
    if found is None:
        raise Http404("This guest was not asked for files in this run.")
    return found


@contextmanager
def in_fetched_files() -> Iterator[None]:
    """Answer 404 for what is not there, and for paths that lead elsewhere."""
    try:
        yield
    except (OSError, ValueError, TestbedError) as exc:
        raise Http404("There is no such fetched file.") from exc


def tar_of(run: Run, guest: str, path: str) -> tuple[str, Iterator[bytes]]:
    """Return the name and the bytes of an archive: of a path, a guest or of all guests.

    Raises: Http404.
    """
    name = f"{run.testbed.name}-fetched-{run.pk}"
    if guest:
        task_of_guest(run, guest)
    with in_fetched_files():
        members = _packed(run, guest, path) if guest else _all_packed(run, name)
    parts = filter(None, (name, guest, path.rpartition("/")[2]))
    pieces = in_pieces(chain(members, (end_of_archive(),)))
    return f"{'-'.join(parts)}.tar", pieces


def _packed(run: Run, guest: str, path: str) -> Iterator[bytes]:
    """Return the members of an archive. Raises: as `FetchedFiles.is_folder`."""
    files = fetched_files(run, guest)
    files.is_folder(path)
    if not files.is_there:
        raise FileNotFoundError(guest)
    return files.packed(path, path.rpartition("/")[2] or guest)


def _all_packed(run: Run, name: str) -> Iterator[bytes]:
    """Return the members of an archive of all guests' files. Raises: Http404."""
    guests = [task.resource for task in tasks_of_fetch(run)]
    there = [guest for guest in guests if fetched_files(run, guest).is_there]
    if not there:
        raise Http404("There are no fetched files.")
    return chain.from_iterable(
        fetched_files(run, guest).packed("", f"{name}/{guest}") for guest in there
    )


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
