"""Testbeds: listed as on their page, made, shown, named, described and deleted."""

from datetime import datetime
from http import HTTPStatus
from typing import Annotated

from django.http import HttpResponse
from ninja import Field, Query, Router, Schema
from pydantic import BaseModel, ConfigDict

from orchestration.errors import StateError, TestbedError
from orchestration.project.folder import YAML_NAME
from testbed.access import names
from testbed.access.names import require_name
from testbed.access.permissions import Act, require, require_scope
from testbed.access.visibility import Request
from testbed.api.keyed import KEYED, Made, made_once
from testbed.api.paging import Paging, page_of
from testbed.api.places import address_of_testbed, testbed_of
from testbed.api.problems import problem_answer
from testbed.api.runs import RunShape, run_shape
from testbed.api.wishes import Text, Wish
from testbed.models import Testbed
from testbed.pages.listing.choosing import listed
from testbed.pages.listing.rows import Row, rows_for
from testbed.pages.listing.wish import ListWish
from testbed.testbeds.files import create_testbed, delete_testbed, read_example
from testbed.testbeds.listing.labels import describe
from testbed.testbeds.uploads import as_testbed

router = Router(tags=["testbeds"])
MOST_YAML = 512 * 1024


class TestbedShape(BaseModel):
    """A testbed as the list shows it; `key` is its name on hosts."""

    __test__ = False  # pytest: the name starts with Test

    testbed: str
    account: str
    name: str
    key: str
    description: str
    tags: list[str]
    condition: str
    role: str | None
    favourite: bool
    guests: int
    guests_up: int
    hosts: list[str]
    ends_at: datetime | None
    created_at: datetime
    last_run: RunShape | None


class TestbedList(BaseModel):
    """A page of testbeds; `count` is of all pages."""

    __test__ = False

    items: list[TestbedShape]
    count: int


class Filters(Schema):
    """The search, filters and order of the list, as on its page."""

    whose: str = ""
    q: str = ""
    condition: str = ""
    owner: str = ""
    group: str = ""
    host: str = ""
    tag: str = ""
    ends: str = ""
    starred: str = ""
    sort: str = "name"


class NewTestbed(Wish):
    """A testbed to make: from a YAML, or from an example that ships."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{"name": "lab", "example": "quickstart"}]},
    )

    name: Text
    yaml: Text | None = Field(None, max_length=MOST_YAML)
    example: Text | None = Field(None, max_length=100)


class Change(Wish):
    """The words of a testbed that change; what is left out stays."""

    name: Text | None = None
    description: Text | None = Field(None, max_length=10_000)
    tags: list[Annotated[str, Field(pattern=r"^[^\s,\x00]+$")]] | None = Field(
        None, max_length=100
    )


class Deleted(BaseModel):
    """A deleted thing, and its number in the trash, if deleted things are kept."""

    deleted: str
    trash: int | None


@router.get("/testbeds", response=TestbedList)
def list_testbeds(
    request: Request,
    response: HttpResponse,
    filters: Query[Filters],
    paging: Query[Paging],
) -> dict[str, object]:
    """List the testbeds that the user sees."""
    require_scope(request.user, Act.SEE)
    wish = ListWish.of(filters.model_dump())
    if wish.notes:
        raise TestbedError((wish.wrong or wish.notes)[0], hint="See docs/testbeds.md.")
    found, count = page_of(request, response, listed(request.user, wish), paging)
    rows = rows_for(request.user, found)
    return {"items": [testbed_shape(row) for row in rows], "count": count}


@router.post(
    "/testbeds",
    response={201: TestbedShape},
    operation_id="create_testbed",
    openapi_extra=KEYED,
)
def create(request: Request, new: NewTestbed) -> HttpResponse:
    """Make a testbed. An `Idempotency-Key` lets a request be sent again."""
    require_scope(request.user, Act.EDIT)
    return made_once(request, lambda: _made(request, new))


@router.get("/testbeds/{account}/{name}", response=TestbedShape, url_name="testbed")
def read_testbed(request: Request, account: str, name: str) -> dict[str, object]:
    """Show a testbed."""
    return shown_testbed(request, testbed_of(request, account, name, Act.SEE))


@router.patch("/testbeds/{account}/{name}", response=TestbedShape)
def change_testbed(
    request: Request, account: str, name: str, change: Change
) -> dict[str, object]:
    """Rename or describe a testbed; its former address leads to the new one."""
    is_renamed = change.name is not None
    act = Act.RENAME if is_renamed else Act.DESCRIBE
    testbed = testbed_of(request, account, name, act)
    if change.name is not None:
        require_name(testbed.owner, change.name, but=testbed)
    if change.description is not None or change.tags is not None:
        require(request.user, Act.DESCRIBE, testbed)
        tags = None if change.tags is None else " ".join(change.tags)
        describe(testbed, request.user, change.description, tags)
    if change.name is not None:
        names.rename(testbed, change.name, request.user)
        testbed.refresh_from_db(fields=("name",))
    return shown_testbed(request, testbed)


@router.delete(
    "/testbeds/{account}/{name}", response=Deleted, operation_id="delete_testbed"
)
def delete(
    request: Request, account: str, name: str, confirm: str = ""
) -> dict[str, object] | HttpResponse:
    """Delete a testbed that is not up; its files go to the trash.

    Where disks die, the answer is 428 until `confirm` has the token of `erases`.
    """
    testbed = testbed_of(request, account, name, Act.DELETE)
    try:
        item = delete_testbed(testbed, request.user, confirm=confirm)
    except StateError as exc:
        return problem_answer(exc, HTTPStatus.CONFLICT)
    return {"deleted": testbed.full_name, "trash": item.pk if item else None}


def testbed_shape(row: Row) -> dict[str, object]:
    """Return a row of the list."""
    testbed = row.testbed
    if row.last_run:
        row.last_run.testbed = testbed  # it was read without
    return {
        "testbed": testbed.full_name,
        "account": testbed.account,
        "name": testbed.name,
        "key": testbed.key,
        "description": testbed.description,
        "tags": sorted(tag.name for tag in testbed.tags.all()),
        "condition": row.condition,
        "role": row.role,
        "favourite": row.is_favourite,
        "guests": row.guests_total,
        "guests_up": row.guests_up,
        "hosts": row.host_names,
        "ends_at": row.ends_at,
        "created_at": testbed.created_at,
        "last_run": run_shape(row.last_run, row.progress) if row.last_run else None,
    }


def _made(request: Request, new: NewTestbed) -> Made:
    if (new.yaml is None) == (new.example is None):
        raise TestbedError(
            "A testbed is made from `yaml` or from `example`.", hint="Send one of them."
        )
    require_name(request.user, new.name)
    if new.example is not None:
        files = read_example(new.example)
    else:
        text = (new.yaml or "").replace("\r\n", "\n")
        files = as_testbed({YAML_NAME: text.encode()})
    testbed = create_testbed(request.user, new.name, files)
    return made_testbed(request, testbed)


def made_testbed(request: Request, testbed: Testbed) -> Made:
    """Return the answer of a request that made a testbed."""
    body = TestbedShape.model_validate(shown_testbed(request, testbed)).model_dump()
    return Made(body, address_of_testbed(testbed))


def shown_testbed(request: Request, testbed: Testbed) -> dict[str, object]:
    """Return a testbed for programs."""
    (row,) = rows_for(request.user, [testbed])
    return testbed_shape(row)
