"""The files that guests sent in a run: listed, downloaded and deleted.

Guests chose their names, which are any bytes: `query` has an address's part with them.
"""

import os
from datetime import datetime

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from ninja import Query, Router
from pydantic import BaseModel

from orchestration.errors import StateError
from testbed.access.permissions import Act, record_act, require
from testbed.access.visibility import Request, execution_for
from testbed.api.content import BINARY, answers_with, sent
from testbed.api.paging import Paging
from testbed.api.problems import Missing
from testbed.models import Run
from testbed.pages.execution.copies import is_fetch
from testbed.pages.execution.fetched import (
    Row,
    asked_for,
    fetched_files,
    fetched_guest,
    in_fetched_files,
    row_of,
    shown,
    tar_of,
    task_of_guest,
    tasks_of_fetch,
)
from testbed.pages.streaming import require_one_more
from testbed.testbeds.erasure.fetched import delete_fetched

router = Router(tags=["fetched files"])
TAR = "application/x-tar"


class FetchedShape(BaseModel):
    """A guest with files, or a file or folder of one; `query` leads to it.

    Of a guest `there` says whether its files are on the server.
    """

    name: str
    query: str
    folder: bool
    bytes: int | None
    modified_at: datetime | None
    there: bool


class FetchedList(BaseModel):
    """A page of guests, or of one folder of a guest; `count` is of all pages."""

    items: list[FetchedShape]
    count: int


@router.get("/runs/{int:number}/fetched", response=FetchedList)
def list_fetched(
    request: Request,
    number: int,
    paging: Query[Paging],
    guest: str = "",
    path: str = "",
) -> dict[str, object]:
    """List the guests of a fetch, or with `guest` a folder of its files."""
    run = _fetch_for(request, number)
    guest, path = _asked(request)
    begin = (paging.page - 1) * paging.per_page
    end = begin + paging.per_page
    if not guest:
        tasks = tasks_of_fetch(run)
        found = [fetched_guest(run, task) for task in tasks[begin:end]]
        items = [_shape(one.label, one.query, there=one.is_there) for one in found]
        return {"items": items, "count": len(tasks)}
    task_of_guest(run, guest)
    files = fetched_files(run, guest)
    with in_fetched_files():
        names = files.names(path)
        entries = files.entries(path, names[begin:end])
    rows = [row_of(guest, path, entry) for entry in entries]
    return {"items": [_shape_of(row) for row in rows], "count": len(names)}


@router.get("/runs/{int:number}/fetched/file", openapi_extra=answers_with(BINARY))
def read_fetched_file(
    request: Request, number: int, guest: str, path: str
) -> HttpResponseBase:
    """Send one file of a guest."""
    run = _fetch_for(request, number)
    guest, path = _asked(request)
    task_of_guest(run, guest)
    require_one_more(request.user)
    files = fetched_files(run, guest)
    with in_fetched_files(), files.open(path) as file:
        size = os.fstat(file.fileno()).st_size
    _log(request, run, f"{guest}: {path}")
    name = shown(path.rpartition("/")[2])
    answer = sent(request, files.content(path), BINARY, name)
    answer.headers["Content-Length"] = str(size)
    return answer


@router.get("/runs/{int:number}/fetched/archive", openapi_extra=answers_with(TAR))
def read_fetched_files(
    request: Request, number: int, guest: str = "", path: str = ""
) -> HttpResponseBase:
    """Send all files, those of one guest or one folder, as one tar archive."""
    run = _fetch_for(request, number)
    guest, path = _asked(request)
    require_one_more(request.user)
    name, pieces = tar_of(run, guest, path)
    _log(request, run, f"{guest or 'all guests'}: {path or 'all files'}")
    return sent(request, pieces, TAR, shown(name))


@router.delete(
    "/runs/{int:number}/fetched",
    response={204: None},
    operation_id="delete_fetched_files",
)
def remove_fetched_files(
    request: Request, number: int, confirm: str = ""
) -> HttpResponse:
    """Delete what the guests sent in a run that is over; `confirm` is asked for."""
    run = _fetch_for(request, number)
    require(request.user, Act.EXECUTE, run.testbed)
    if not run.is_over:
        raise StateError("This run is not over.", hint="Wait for its end.")
    delete_fetched(run, confirm=confirm)
    what = f"deleted the fetched files of run {run.pk}"
    record_act(request.user, Act.TAKE_FETCHED, run.testbed, what)
    return HttpResponse(status=204)


def _fetch_for(request: Request, number: int) -> Run:
    """Return the run of a fetch. Raises: Http404, NotAllowed."""
    run = execution_for(request, number, Act.TAKE_FETCHED)
    if not is_fetch(run):
        raise Missing("This run has fetched no files.")
    return run


def _asked(request: Request) -> tuple[str, str]:
    return asked_for(request.META.get("QUERY_STRING", ""))


def _log(request: Request, run: Run, what: str) -> None:
    words = f"run {run.pk}, {shown(what)}"
    record_act(request.user, Act.TAKE_FETCHED, run.testbed, words)


def _shape_of(row: Row) -> dict[str, object]:
    size = None if row.is_folder else row.size_bytes
    return _shape(row.label, row.query, row.is_folder, size, row.modified)


def _shape(
    name: str,
    query: str,
    folder: bool = True,
    size: int | None = None,
    modified_at: datetime | None = None,
    *,
    there: bool = True,
) -> dict[str, object]:
    return {
        "name": name,
        "query": query,
        "folder": folder,
        "bytes": size,
        "modified_at": modified_at,
        "there": there,
    }
