"""A user's own notifications, and the ways in which the user is told."""

from datetime import datetime

from django.http import HttpResponse
from ninja import Query, Router
from pydantic import BaseModel

from testbed.access.permissions import Act, OwnAct, require_scope
from testbed.access.visibility import Request
from testbed.api.paging import Paging, page_of
from testbed.api.wishes import Id, Wish
from testbed.models import Notification
from testbed.models.notifications.choices import CHOSEN_KINDS, Channel, Kind
from testbed.notifications.choosing import PARTING, choice_of, choose

router = Router(tags=["account"])


class NotificationShape(BaseModel):
    """One thing that the user was told; `path` is the page that it is about."""

    id: int
    kind: Kind
    title: str
    text: str
    path: str
    at: datetime
    read: bool


class NotificationList(BaseModel):
    """A page of notifications, the newest first."""

    items: list[NotificationShape]
    count: int


class Newest(Wish):
    """The newest notification that was seen: it and the older ones are read."""

    newest: Id


class MarkedRead(BaseModel):
    """How many were unread before."""

    read: int


class Ways(Wish):
    """The ways of each kind: `browser`, `mail`, `webhook`; a kind left out has none."""

    ways: dict[Kind, list[Channel]]


@router.get("/notifications", response=NotificationList)
def list_notifications(
    request: Request,
    response: HttpResponse,
    paging: Query[Paging],
    unread: bool = False,
) -> dict[str, object]:
    """List what the user was told, or only what is unread."""
    require_scope(request.user, Act.SEE)
    rows = Notification.objects.of(request.user)
    rows = rows.filter(read_at=None) if unread else rows
    found, count = page_of(request, response, rows, paging)
    return {"items": [_shape(row) for row in found], "count": count}


@router.post("/notifications/read", response=MarkedRead)
def mark_read(request: Request, wish: Newest) -> dict[str, object]:
    """Mark as read all that there was up to a notification."""
    require_scope(request.user, OwnAct.NOTIFICATIONS)
    count = Notification.objects.read_up_to(request.user, wish.newest)
    return {"read": count}


@router.get("/notifications/ways", response=Ways)
def read_ways(request: Request) -> dict[str, object]:
    """Show in which ways the user is told of what."""
    require_scope(request.user, Act.SEE)
    choice = choice_of(request.user)
    return {
        "ways": {
            kind: [way for way in Channel if choice.chose(kind, way)]
            for kind in CHOSEN_KINDS
        }
    }


@router.put("/notifications/ways", response=Ways)
def choose_ways(request: Request, wish: Ways) -> dict[str, object]:
    """Choose in which ways the user is told of what."""
    require_scope(request.user, OwnAct.NOTIFICATIONS)
    pairs = {
        f"{kind}{PARTING}{way}" for kind, ways in wish.ways.items() for way in ways
    }
    choose(request.user, pairs)
    return read_ways(request)


def _shape(row: Notification) -> dict[str, object]:
    return {
        "id": row.pk,
        "kind": row.kind,
        "title": row.title,
        "text": row.text,
        "path": row.path,
        "at": row.at,
        "read": row.read_at is not None,
    }
