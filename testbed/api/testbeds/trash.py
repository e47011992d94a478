"""The trash: what was deleted, brought back or removed for good."""

from datetime import datetime

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Query, Router
from pydantic import BaseModel

from testbed.access.permissions import Act, require_scope
from testbed.access.visibility import Request
from testbed.api.paging import Paging, page_of
from testbed.api.shapes import trash_json
from testbed.models import TrashItem
from testbed.models.trash import TrashQuerySet
from testbed.testbeds.trash.items import remove_items
from testbed.testbeds.trash.restoring import bring_back

router = Router(tags=["trash"])


class TrashShape(BaseModel):
    """A deleted testbed, or with a `path` a deleted file."""

    id: int
    testbed: str
    path: str
    owner: str
    bytes: int
    deleted_by: str
    deleted_at: datetime
    until: datetime


class TrashList(BaseModel):
    """A page of the trash; `count` is of all pages."""

    items: list[TrashShape]
    count: int


class Restored(BaseModel):
    """A thing that is back, in words, and its testbed."""

    restored: str
    testbed: str


class Removed(BaseModel):
    """How many things were removed for good."""

    removed: int


@router.get("/trash", response=TrashList)
def list_trash(
    request: Request, response: HttpResponse, paging: Query[Paging]
) -> dict[str, object]:
    """List what the user may bring back."""
    require_scope(request.user, Act.SEE)
    rows = _visible(request).select_related("owner", "deleted_by")
    items, count = page_of(request, response, rows, paging)
    return {"items": [trash_json(item) for item in items], "count": count}


@router.post(
    "/trash/{int:number}/restore",
    response=Restored,
    operation_id="restore_from_trash",
)
def restore(request: Request, number: int) -> dict[str, object]:
    """Bring a testbed or a file back."""
    item = get_object_or_404(_visible(request), pk=number)
    testbed, words = bring_back(item, request.user)
    return {"restored": words, "testbed": testbed.full_name}


@router.delete("/trash", response=Removed)
def empty_trash(request: Request, confirm: str = "") -> dict[str, object]:
    """Remove all of the user's own trash for good; 428 first, as of one thing."""
    require_scope(request.user, Act.DELETE)
    rows = TrashItem.objects.filter(owner=request.user)
    return {"removed": remove_items(rows, request.user, confirm=confirm)}


@router.delete("/trash/{int:number}", response=Removed)
def remove_from_trash(
    request: Request, number: int, confirm: str = ""
) -> dict[str, object]:
    """Remove a thing for good; the first answer is 428 with the token for `confirm`."""
    item = get_object_or_404(_visible(request), pk=number)
    require_scope(request.user, Act.DELETE)
    rows = _visible(request).filter(pk=item.pk)
    return {"removed": remove_items(rows, request.user, confirm=confirm)}


def _visible(request: Request) -> TrashQuerySet:
    return TrashItem.objects.all().visible_to(request.user)
