"""Fetches of a testbed's source: asked for, listed, and their conflicts decided."""

from datetime import datetime
from http import HTTPStatus

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Query, Router, Status
from pydantic import BaseModel

from testbed.access.permissions import Act
from testbed.access.visibility import Request
from testbed.api.paging import Paging, page_of
from testbed.api.places import testbed_of
from testbed.api.wishes import Wish, Words
from testbed.models import Fetch
from testbed.sources.changes import ask_for_fetch, decide

router = Router(tags=["source"])
PLACE = "/testbeds/{account}/{name}/source"


class FetchShape(BaseModel):
    """A fetch: `waiting`, `running`, `succeeded`, `conflict` or `failed`, and why.

    `by` is empty where a push asked for it. The lists have paths.
    """

    id: int
    by: str
    status: str
    said: str
    asked_at: datetime
    ended_at: datetime | None
    commit: str
    subject: str
    added: list[str]
    changed: list[str]
    removed: list[str]
    kept: list[str]
    conflicts: list[str]


class FetchList(BaseModel):
    """A page of fetches; `count` is of all pages."""

    items: list[FetchShape]
    count: int


class ConflictSide(BaseModel):
    """A file in conflict: the SHA-256 here and in the repository, empty where it is not.

    `text` is the repository's, where it is a text and short.
    """

    path: str
    here: str
    there: str
    text: str | None


class FetchWithSides(FetchShape):
    """A fetch, with both sides of its conflict."""

    sides: list[ConflictSide]


class Decision(Wish):
    """`take` the repository's files or `keep` those here.

    A lab without a trash asks for `confirm`: `lose` before files are lost.
    """

    use: Words
    confirm: Words = ""


@router.post(f"{PLACE}/fetch", response={202: FetchShape})
def fetch_source(
    request: Request, account: str, name: str
) -> Status[dict[str, object]]:
    """Ask for a fetch; one that is active already is 409."""
    testbed = testbed_of(request, account, name, Act.EDIT)
    row = ask_for_fetch(testbed, request.user)
    return Status(HTTPStatus.ACCEPTED, fetch_shape(row))


@router.get(f"{PLACE}/fetches", response=FetchList)
def list_fetches(
    request: Request,
    response: HttpResponse,
    account: str,
    name: str,
    paging: Query[Paging],
) -> dict[str, object]:
    """List the fetches of a testbed, the newest first."""
    testbed = testbed_of(request, account, name, Act.EDIT)
    rows = Fetch.objects.filter(testbed=testbed)
    items, count = page_of(request, response, rows, paging)
    return {"items": [fetch_shape(row) for row in items], "count": count}


@router.get(f"{PLACE}/fetches/{{int:number}}", response=FetchWithSides)
def read_fetch(
    request: Request, account: str, name: str, number: int
) -> dict[str, object]:
    """Show a fetch, with the files of its conflict."""
    testbed = testbed_of(request, account, name, Act.EDIT)
    row = get_object_or_404(Fetch, pk=number, testbed=testbed)
    sides = [
        {key: each[key] for key in ConflictSide.model_fields}
        for each in row.changes.get("conflicts", [])
    ]
    return {**fetch_shape(row), "sides": sides}


@router.post(f"{PLACE}/fetches/{{int:number}}/decide", response={202: FetchShape})
def decide_conflict(
    request: Request, account: str, name: str, number: int, wish: Decision
) -> Status[dict[str, object]]:
    """Use one side of a conflict: the commit is fetched once more."""
    testbed = testbed_of(request, account, name, Act.EDIT)
    conflict = get_object_or_404(Fetch, pk=number, testbed=testbed)
    row = decide(conflict, request.user, wish.use, confirm=wish.confirm)
    return Status(HTTPStatus.ACCEPTED, fetch_shape(row))


def fetch_shape(row: Fetch) -> dict[str, object]:
    """Return a fetch for programs."""
    names = ("added", "changed", "removed", "kept")
    conflicts = row.changes.get("conflicts", [])
    return {
        "id": row.pk,
        "by": row.asked_by,
        "status": row.status,
        "said": row.said,
        "asked_at": row.asked_at,
        "ended_at": row.ended_at,
        "commit": row.commit,
        "subject": row.subject,
        **{name: row.changes.get(name, []) for name in names},
        "conflicts": [each["path"] for each in conflicts],
    }
