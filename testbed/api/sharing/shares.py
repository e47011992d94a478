"""With whom a testbed is shared, and in which roles."""

from datetime import datetime
from typing import Literal

from django.contrib.auth.models import Group, User
from django.http import HttpResponse
from ninja import Router, Status
from pydantic import BaseModel

from orchestration.errors import TestbedError
from testbed.access.permissions import Act
from testbed.access.visibility import Request
from testbed.api.places import testbed_of
from testbed.api.problems import Missing
from testbed.api.wishes import Wish, Words
from testbed.models import Share, Testbed
from testbed.sharing.people import group_named, user_named
from testbed.sharing.shares import change_share, share_with, take_away

router = Router(tags=["sharing"])
Role = Literal["viewer", "operator", "editor"]


class ShareShape(BaseModel):
    """The role of a user or of a group's members."""

    id: int
    user: str | None
    group: str | None
    role: str
    given_by: str
    given_at: datetime


class ShareList(BaseModel):
    """All shares of a testbed."""

    items: list[ShareShape]


class NewShare(Wish):
    """A share with `user` or with `group`."""

    user: Words | None = None
    group: Words | None = None
    role: Role


class RoleWish(Wish):
    """Another role for a share."""

    role: Role


@router.get("/testbeds/{account}/{name}/shares", response=ShareList)
def list_shares(request: Request, account: str, name: str) -> dict[str, object]:
    """List the shares."""
    testbed = testbed_of(request, account, name, Act.SHARE)
    return {"items": [_shape(share) for share in _shares(testbed)]}


@router.post("/testbeds/{account}/{name}/shares", response={201: ShareShape})
def create_share(
    request: Request, account: str, name: str, new: NewShare
) -> Status[dict[str, object]]:
    """Share a testbed with a user or a group that the user may name."""
    testbed = testbed_of(request, account, name, Act.SHARE)
    if (new.user is None) == (new.group is None):
        raise TestbedError(
            "A share is with `user` or with `group`.", hint="Send one of them."
        )
    who: User | Group
    if new.group is not None:
        who = group_named(request.user, new.group)
    else:
        who = user_named(request.user, new.user or "", owner=testbed.owner)
    return Status(201, _shape(share_with(testbed, who, new.role, request.user)))


@router.patch("/testbeds/{account}/{name}/shares/{int:number}", response=ShareShape)
def change_role(
    request: Request, account: str, name: str, number: int, wish: RoleWish
) -> dict[str, object]:
    """Give a share another role."""
    share = _share(testbed_of(request, account, name, Act.SHARE), number)
    change_share(share, wish.role, request.user)
    return _shape(share)


@router.delete("/testbeds/{account}/{name}/shares/{int:number}", response={204: None})
def delete_share(
    request: Request, account: str, name: str, number: int
) -> HttpResponse:
    """Take a share away."""
    share = _share(testbed_of(request, account, name, Act.SHARE), number)
    take_away(share, request.user)
    return HttpResponse(status=204)


def _shares(testbed: Testbed) -> list[Share]:
    rows = testbed.shares.select_related("user", "group", "given_by", "testbed__owner")
    return list(rows.order_by("pk"))


def _share(testbed: Testbed, number: int) -> Share:
    for share in _shares(testbed):
        if share.pk == number:
            return share
    raise Missing("There is no such share.")


def _shape(share: Share) -> dict[str, object]:
    return {
        "id": share.pk,
        "user": str(share.user) if share.user else None,
        "group": str(share.group) if share.group else None,
        "role": share.role,
        "given_by": str(share.given_by),
        "given_at": share.given_at,
    }
