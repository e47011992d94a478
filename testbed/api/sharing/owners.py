"""The owner of a testbed, the account that is charged for it, and users' favourites."""

from typing import Literal

from ninja import Router
from pydantic import BaseModel

from testbed.access.limits import name_of
from testbed.access.permissions import Act, OwnAct, require_scope
from testbed.access.visibility import Request
from testbed.api.places import testbed_of
from testbed.api.wishes import Id, Wish, Words
from testbed.models import Testbed
from testbed.sharing.charging import charge
from testbed.sharing.transfer import receiver_named, transfer
from testbed.testbeds.listing.labels import set_favourite

router = Router(tags=["sharing"])


class OwnerWish(Wish):
    """The new owner's account, and the role that the former one keeps, if any."""

    to: Words
    former_role: Literal["", "viewer", "operator", "editor"] = ""


class Given(BaseModel):
    """The testbed's full name with its new owner."""

    testbed: str


class ChargeWish(Wish):
    """The number of the group that is charged; null: the owner."""

    group: Id | None


class Charged(BaseModel):
    """The account that is charged."""

    account: str


class IsFavourite(BaseModel):
    """Whether a testbed is a favourite of the user."""

    favourite: bool


@router.put("/testbeds/{account}/{name}/owner", response=Given)
def give_testbed(
    request: Request, account: str, name: str, wish: OwnerWish
) -> dict[str, object]:
    """Give a testbed to another owner, whose limits it counts against then."""
    testbed = testbed_of(request, account, name, Act.TRANSFER)
    to = receiver_named(testbed, wish.to, request.user)
    transfer(testbed, to, request.user, former_role=wish.former_role)
    now = Testbed.objects.select_related("owner").get(pk=testbed.pk)
    return {"testbed": now.full_name}


@router.put("/testbeds/{account}/{name}/charge", response=Charged)
def charge_testbed(
    request: Request, account: str, name: str, wish: ChargeWish
) -> dict[str, object]:
    """Charge a testbed to a group of its owner's, or to its owner."""
    testbed = testbed_of(request, account, name, Act.TRANSFER)
    number = "" if wish.group is None else str(wish.group)
    return {"account": name_of(charge(testbed, number, request.user))}


@router.put("/testbeds/{account}/{name}/favourite", response=IsFavourite)
def mark_favourite(request: Request, account: str, name: str) -> dict[str, object]:
    """Mark a testbed as a favourite of the user."""
    return _marked(request, account, name, is_favourite=True)


@router.delete("/testbeds/{account}/{name}/favourite", response=IsFavourite)
def unmark_favourite(request: Request, account: str, name: str) -> dict[str, object]:
    """Mark a testbed as no favourite any more."""
    return _marked(request, account, name, is_favourite=False)


def _marked(
    request: Request, account: str, name: str, *, is_favourite: bool
) -> dict[str, object]:
    testbed = testbed_of(request, account, name, Act.SEE)
    require_scope(request.user, OwnAct.FAVOURITES)
    set_favourite(testbed, request.user, is_favourite=is_favourite)
    return {"favourite": is_favourite}
