"""Snapshots of all testbeds, for lab admins: listed, and acted on together."""

from datetime import datetime

from django.db.models import QuerySet
from django.http import HttpResponse
from ninja import Field, Query, Router
from pydantic import BaseModel

from testbed.access.permissions import require_admin
from testbed.access.visibility import Request
from testbed.api.paging import Paging, page_of
from testbed.api.wishes import Id, Wish, Words
from testbed.models import LabSnapshot, SnapshotOrder
from testbed.snapshots.lab import chosen, order, refresh_snapshots

router = Router(tags=["administration"])
MOST_PICKS = 10_000


class LabSnapshotShape(BaseModel):
    """A snapshot of a guest; `id` picks it."""

    id: int
    testbed: str
    guest: str
    host: str
    name: str
    title: str
    by: str
    taken_at: datetime
    memory_bytes: int
    outside: bool
    current: bool


class LabSnapshotList(BaseModel):
    """A page of snapshots, the newest first."""

    items: list[LabSnapshotShape]
    count: int


class LabWish(Wish):
    """`delete` or `restore` of the picked ones; `keep`: with the present state kept."""

    verb: Words
    picks: list[Id] = Field(max_length=MOST_PICKS)
    keep: bool = False
    confirm: Words = ""


class OrderShape(BaseModel):
    """An act that waits for its turn, or the run that it became."""

    id: int
    testbed: str
    verb: str
    name: str
    guests: list[str]
    status: str
    message: str
    run: int | None


class OrderList(BaseModel):
    """A page of acts, the newest first."""

    items: list[OrderShape]
    count: int


class Orders(BaseModel):
    """The acts that were ordered: each testbed has one at a time."""

    items: list[OrderShape]


@router.get("/snapshots", response=LabSnapshotList)
def list_lab_snapshots(
    request: Request, response: HttpResponse, paging: Query[Paging]
) -> dict[str, object]:
    """List the snapshots of all testbeds."""
    require_admin(request.user)
    rows = LabSnapshot.objects.select_related("guest__testbed__owner")
    found, count = page_of(request, response, rows, paging)
    return {"items": [_snapshot(row) for row in found], "count": count}


@router.post("/snapshots", response={202: Orders})
def act_on_lab_snapshots(request: Request, wish: LabWish) -> HttpResponse:
    """Delete or restore snapshots of any testbeds; `confirm` is asked for."""
    require_admin(request.user)
    choice = chosen(wish.verb, map(str, wish.picks), keeps=wish.keep)
    orders = order(choice, request.user, confirm=wish.confirm)
    rows = _orders().filter(pk__in=[one.pk for one in orders])
    body = Orders.model_validate({"items": [_order(row) for row in rows]})
    return HttpResponse(
        body.model_dump_json(), status=202, content_type="application/json"
    )


@router.post("/snapshots/refresh", response={204: None})
def refresh_lab_snapshots(request: Request) -> HttpResponse:
    """Request that the snapshots of all hosts are observed."""
    require_admin(request.user)
    refresh_snapshots()
    return HttpResponse(status=204)


@router.get("/snapshots/orders", response=OrderList)
def list_snapshot_orders(
    request: Request, response: HttpResponse, paging: Query[Paging]
) -> dict[str, object]:
    """List the acts on snapshots that were ordered, with the runs that they became."""
    require_admin(request.user)
    found, count = page_of(request, response, _orders(), paging)
    return {"items": [_order(row) for row in found], "count": count}


def _orders() -> QuerySet[SnapshotOrder]:
    return SnapshotOrder.objects.select_related("testbed__owner")


def _snapshot(row: LabSnapshot) -> dict[str, object]:
    return {
        "id": row.pk,
        "testbed": row.guest.testbed.full_name,
        "guest": row.guest.name,
        "host": row.guest.host,
        "name": row.name,
        "title": row.title,
        "by": row.by,
        "taken_at": row.taken_at,
        "memory_bytes": row.memory_bytes,
        "outside": row.is_outside,
        "current": row.is_current,
    }


def _order(row: SnapshotOrder) -> dict[str, object]:
    return {
        "id": row.pk,
        "testbed": row.testbed.full_name,
        "verb": row.verb,
        "name": row.name,
        "guests": row.guests,
        "status": row.status,
        "message": row.message,
        "run": row.run_id,
    }
