"""When a testbed that is up ends, and what happens then."""

from datetime import datetime
from typing import Annotated

from ninja import Field, Router
from pydantic import BaseModel

from testbed.access.permissions import Act
from testbed.access.visibility import Request
from testbed.api.places import testbed_of
from testbed.api.wishes import Wish, Words
from testbed.expiry.changes import choose, extend, wanted_end
from testbed.expiry.shown import shown_end
from testbed.models.expiry import database_now, expiry_of

router = Router(tags=["expiry"])


class End(BaseModel):
    """The end of a testbed; `said` is how its last attempt failed, and what follows."""

    ends_at: datetime | None
    at_end: str
    announced: bool
    idle: bool
    said: str


class EndWish(Wish):
    """Another end: `until` a moment, in `hours`, or with neither the next usual one.

    `at_end` chooses what the end does instead.
    """

    until: Words | None = None
    hours: Words | Annotated[float, Field(strict=True)] | None = None
    at_end: Words | None = None


@router.get("/testbeds/{account}/{name}/expiry", response=End)
def read_expiry(request: Request, account: str, name: str) -> dict[str, object]:
    """Show when a testbed ends."""
    testbed = testbed_of(request, account, name, Act.SEE)
    return shown_end(testbed, request.may, database_now()).json()


@router.post("/testbeds/{account}/{name}/expiry", response=End)
def change_expiry(
    request: Request, account: str, name: str, wish: EndWish
) -> dict[str, object]:
    """Extend a testbed, or choose what its end does."""
    testbed, now = testbed_of(request, account, name, Act.EXTEND), database_now()
    if wish.at_end is not None:
        choose(testbed, request.user, wish.at_end, now)
    else:
        sent = wish.model_dump(exclude_none=True)
        form = {"extend": "", **{name: str(value) for name, value in sent.items()}}
        until = wanted_end(form, expiry_of(testbed), now)
        extend(testbed, request.user, until, now)
    found = testbed_of(request, account, name, Act.SEE)
    return shown_end(found, request.may, database_now()).json()
