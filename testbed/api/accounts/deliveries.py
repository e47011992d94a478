"""The mails and calls of a user's webhook that told things; the webhook itself.

A webhook is called longer than a token lasts: setting one has the scope `manage`.
"""

from datetime import datetime
from http import HTTPStatus

from django.http import Http404, HttpResponse
from django.views.decorators.debug import sensitive_variables
from ninja import Field, Query, Router, Status
from pydantic import BaseModel

from testbed.access.permissions import Act, OwnAct, require_scope
from testbed.access.visibility import Request
from testbed.api.paging import Paging, page_of
from testbed.api.wishes import Text, Wish
from testbed.models import Delivery
from testbed.models.notifications.choices import MOST_ADDRESS
from testbed.notifications.choosing import (
    choice_of,
    remove_webhook,
    send_again,
    set_webhook,
    try_webhook,
)

router = Router(tags=["account"])
WEBHOOK = "/notifications/webhook"


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


class WebhookWish(Wish):
    """The address that is called."""

    url: Text = Field(max_length=MOST_ADDRESS)


class WebhookShape(BaseModel):
    """The user's webhook; `url` is empty without one.

    `secret` signs calls and is sent once, when the address is set. `stopped` says why it
    is called no more.
    """

    url: str
    secret: str | None
    stopped: str


@router.get("/deliveries", response=DeliveryList)
def list_deliveries(
    request: Request, response: HttpResponse, paging: Query[Paging]
) -> dict[str, object]:
    """List the mails and calls of the user, the newest first."""
    require_scope(request.user, Act.SEE)
    rows = Delivery.objects.of(request.user)
    items, count = page_of(request, response, rows, paging)
    return {"items": [_shape(row) for row in items], "count": count}


@router.post("/deliveries/{int:number}/send", response={202: DeliveryShape})
def send_delivery_again(request: Request, number: int) -> Status[dict[str, object]]:
    """Call the webhook once more with the same body and `webhook-id`."""
    require_scope(request.user, OwnAct.NOTIFICATIONS)
    try:
        send_again(request.user, number)
    except Delivery.DoesNotExist as exc:
        raise Http404("There is no such delivery.") from exc
    row = Delivery.objects.of(request.user).get(pk=number)
    return Status(HTTPStatus.ACCEPTED, _shape(row))


@router.get(WEBHOOK, response=WebhookShape)
def read_webhook(request: Request) -> dict[str, object]:
    """Show the user's webhook, whose address may hold a secret of its receiver."""
    require_scope(request.user, OwnAct.WEBHOOK)
    return _webhook(request)


# Its answer has the secret: reports of errors must not show it.
@router.put(WEBHOOK, response=WebhookShape, operation_id="set_webhook")
@sensitive_variables()
def put_webhook(request: Request, wish: WebhookWish) -> dict[str, object]:
    """Set the webhook; this answer alone has its new secret."""
    require_scope(request.user, OwnAct.WEBHOOK)
    secret = set_webhook(request.user, wish.url)
    return {**_webhook(request), "secret": secret}


@router.delete(WEBHOOK, response={204: None}, operation_id="remove_webhook")
def delete_webhook(request: Request) -> HttpResponse:
    """Forget the webhook and its secret."""
    require_scope(request.user, OwnAct.WEBHOOK)
    remove_webhook(request.user)
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


@router.post(f"{WEBHOOK}/test", response={204: None})
def test_webhook(request: Request) -> HttpResponse:
    """Send a test to the webhook; its end is in `/deliveries`."""
    require_scope(request.user, OwnAct.NOTIFICATIONS)
    try_webhook(request.user)
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


def _webhook(request: Request) -> dict[str, object]:
    choice = choice_of(request.user)
    stopped = choice.stopped_because
    return {"url": choice.webhook_url, "secret": None, "stopped": stopped}  # nosec B105


def _shape(row: Delivery) -> dict[str, object]:
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
