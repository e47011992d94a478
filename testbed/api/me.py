"""The user of a request with the token's scopes; the mails and calls that told things."""

from datetime import datetime

from django.http import HttpResponse
from ninja import Query, Router
from pydantic import BaseModel

from testbed.access.permissions import Act, is_admin, require_scope
from testbed.access.scopes import Scope, in_order, scopes_of
from testbed.access.visibility import Request
from testbed.api.paging import Paging, page_of
from testbed.models import Delivery

router = Router(tags=["account"])


class Me(BaseModel):
    """A user; `scopes` are the token's, null with a session."""

    account: str
    lab_admin: bool
    groups: list[str]
    scopes: list[Scope] | None


class DeliveryShape(BaseModel):
    """A mail or a call: `waiting`, `delivered` or `failed`, and how it was answered."""

    id: int
    by: str
    type: str
    title: str
    status: str
    said: str
    attempts: int
    told_at: datetime
    tried_at: datetime | None
    next_at: datetime | None


class DeliveryList(BaseModel):
    """A page of deliveries; `count` is of all pages."""

    items: list[DeliveryShape]
    count: int


@router.get("/me", response=Me)
def read_me(request: Request) -> dict[str, object]:
    """Show the user and the scopes of the token."""
    require_scope(request.user, Act.SEE)
    scopes = scopes_of(request.user)
    return {
        "account": request.user.get_username(),
        "lab_admin": is_admin(request.user),
        "groups": list(
            request.user.groups.order_by("name").values_list("name", flat=True)
        ),
        "scopes": None if scopes is None else in_order(scopes),
    }


@router.get("/deliveries", response=DeliveryList)
def list_deliveries(
    request: Request, response: HttpResponse, paging: Query[Paging]
) -> dict[str, object]:
    """List the mails and calls of the user, the newest first."""
    require_scope(request.user, Act.SEE)
    rows = Delivery.objects.of(request.user)
    items, count = page_of(request, response, rows, paging)
    return {"items": [_delivery_shape(row) for row in items], "count": count}


def _delivery_shape(row: Delivery) -> dict[str, object]:
    return {
        "id": row.pk,
        "by": row.channel,
        "type": row.notification.kind,
        "title": row.notification.title,
        "status": row.status,
        "said": row.said,
        "attempts": row.tries,
        "told_at": row.notification.at,
        "tried_at": row.tried_at,
        "next_at": row.next_at,
    }
