"""The user of a request with the token's scopes."""

from ninja import Router
from pydantic import BaseModel

from testbed.access.permissions import Act, is_admin, require_scope
from testbed.access.scopes import Scope, in_order, scopes_of
from testbed.access.visibility import Request

router = Router(tags=["account"])


class Me(BaseModel):
    """A user; `scopes` are the token's, null with a session."""

    account: str
    lab_admin: bool
    groups: list[str]
    scopes: list[Scope] | None


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
