"""The source of a testbed's files, and its fetches."""

from datetime import datetime
from http import HTTPStatus

from django.http import HttpResponse
from ninja import Field, Query, Router, Status
from pydantic import BaseModel, ConfigDict

from testbed.access.permissions import Act
from testbed.access.visibility import Request
from testbed.api.paging import Paging, page_of
from testbed.api.places import testbed_of
from testbed.api.problems import Missing
from testbed.api.wishes import Text, Wish
from testbed.models import Fetch, Source, Testbed
from testbed.models.sources.rows import MOST_BRANCH, MOST_FOLDER, MOST_URL
from testbed.sources.changes import (
    ask_for_fetch,
    remove_source,
    set_source,
    source_of,
)

router = Router(tags=["source"])


class SourceWish(Wish):
    """A repository's address, a branch and a folder of it."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {"url": "https://git.example.org/lab/testbed.git", "branch": "main"}
            ]
        },
    )

    url: Text = Field(max_length=MOST_URL)
    branch: Text = Field("main", max_length=MOST_BRANCH)
    folder: Text = Field("", max_length=MOST_FOLDER)


class SourceShape(BaseModel):
    """A source, and the commit that was fetched last, if one was.

    `deploy_key` is the public half, empty for https. `webhook` is the path that a forge
    calls; `secret` signs its calls and is sent once, when the source is made.
    """

    url: str
    branch: str
    folder: str
    deploy_key: str
    host_key_confirmed: bool
    webhook: str
    secret: str | None
    commit: str
    author: str
    subject: str
    committed_at: datetime | None
    fetched_at: datetime | None


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


class RemovedSource(BaseModel):
    """The address of a source that was removed."""

    removed: str


PLACE = "/testbeds/{account}/{name}/source"


@router.get(PLACE, response=SourceShape)
def read_source(request: Request, account: str, name: str) -> dict[str, object]:
    """Show the source of a testbed; 404 without one."""
    testbed = testbed_of(request, account, name, Act.SET_SOURCE)
    return _shape(_source_of(testbed))


@router.put(
    PLACE,
    response={200: SourceShape, 201: SourceShape},
    operation_id="set_source",
)
def put_source(
    request: Request, account: str, name: str, wish: SourceWish
) -> Status[dict[str, object]]:
    """Set or change the source; the answer to the first has the webhook's secret."""
    testbed = testbed_of(request, account, name, Act.SET_SOURCE)
    secret = set_source(testbed, request.user, wish.url, wish.branch, wish.folder)
    source = _source_of(testbed)
    status = HTTPStatus.CREATED if secret else HTTPStatus.OK
    return Status(status, _shape(source, secret or None))


@router.delete(PLACE, response=RemovedSource, operation_id="remove_source")
def delete_source(request: Request, account: str, name: str) -> dict[str, object]:
    """Remove the source, its deploy key and its webhook; the files stay."""
    testbed = testbed_of(request, account, name, Act.SET_SOURCE)
    source = _source_of(testbed)
    remove_source(testbed, request.user)
    return {"removed": source.url}


@router.post(f"{PLACE}/fetch", response={202: FetchShape})
def fetch_source(
    request: Request, account: str, name: str
) -> Status[dict[str, object]]:
    """Ask for a fetch; one that is active already is 409."""
    testbed = testbed_of(request, account, name, Act.EDIT)
    row = ask_for_fetch(testbed, request.user)
    return Status(HTTPStatus.ACCEPTED, _fetch_shape(row))


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
    return {"items": [_fetch_shape(row) for row in items], "count": count}


def _source_of(testbed: Testbed) -> Source:
    """Return the source. Raises: Http404 (there is none)."""
    found = source_of(testbed)
    if found is None:
        raise Missing("This testbed has no source.", hint="Set one with PUT.")
    return found


def _shape(source: Source, secret: str | None = None) -> dict[str, object]:
    return {
        "url": source.url,
        "branch": source.branch,
        "folder": source.folder,
        "deploy_key": source.public_key,
        "host_key_confirmed": bool(source.host_key),
        "webhook": f"/hooks/{source.hook}/",
        "secret": secret,
        "commit": source.commit,
        "author": source.author,
        "subject": source.subject,
        "committed_at": source.committed_at,
        "fetched_at": source.fetched_at,
    }


def _fetch_shape(row: Fetch) -> dict[str, object]:
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
