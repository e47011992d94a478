"""Invitations, for lab admins: made, listed and withdrawn."""

from datetime import datetime
from http import HTTPStatus

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.debug import sensitive_variables
from ninja import Query, Router, Status
from pydantic import BaseModel

from testbed.access.permissions import require_admin
from testbed.access.visibility import Request
from testbed.accounts.invitations import invite, withdraw
from testbed.api.paging import Paging, page_of
from testbed.api.wishes import Wish, Words
from testbed.models import Invitation

router = Router(tags=["administration"])


class InvitationWish(Wish):
    """The address for mail that the account gets."""

    email: Words


class InvitationShape(BaseModel):
    """An invitation; `account` is the one that was made with it.

    `link` makes the account; it is sent once, and is null where it was mailed.
    """

    id: int
    email: str
    by: str
    made_at: datetime
    ends_at: datetime
    used_at: datetime | None
    account: str
    link: str | None


class InvitationList(BaseModel):
    """A page of invitations, the newest first; `count` is of all pages."""

    items: list[InvitationShape]
    count: int


@router.get("/invitations", response=InvitationList)
def list_invitations(
    request: Request, response: HttpResponse, paging: Query[Paging]
) -> dict[str, object]:
    """List the invitations."""
    require_admin(request.user)
    rows, count = page_of(request, response, Invitation.objects.all(), paging)
    return {"items": [_shape(row) for row in rows], "count": count}


# Its answer has the link: reports of errors must not show it.
@router.post("/invitations", response={201: InvitationShape}, operation_id="invite")
@sensitive_variables()
def create_invitation(
    request: Request, wish: InvitationWish
) -> Status[dict[str, object]]:
    """Make an invitation, which is mailed where mail is set up."""
    require_admin(request.user)
    row, link = invite(wish.email, request.user)
    whole = request.build_absolute_uri(link) if link else None
    return Status(HTTPStatus.CREATED, {**_shape(row), "link": whole})


@router.delete(
    "/invitations/{int:number}",
    response={204: None},
    operation_id="withdraw_invitation",
)
def delete_invitation(request: Request, number: int) -> HttpResponse:
    """Withdraw an invitation that was not used."""
    require_admin(request.user)
    withdraw(get_object_or_404(Invitation.objects.open(), pk=number), request.user)
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


def _shape(row: Invitation) -> dict[str, object]:
    names = ("email", "made_at", "ends_at", "used_at", "account")
    values = {name: getattr(row, name) for name in names}
    return {"id": row.pk, "by": row.made_by, "link": None, **values}
