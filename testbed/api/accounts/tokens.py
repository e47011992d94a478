"""A user's own API tokens: listed and revoked. A token makes no other."""

from datetime import datetime
from http import HTTPStatus

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Router
from pydantic import BaseModel

from testbed.access.permissions import Act, OwnAct, require_scope
from testbed.access.scopes import Scope
from testbed.access.tokens import revoke_token
from testbed.access.visibility import Request
from testbed.models import ApiToken

router = Router(tags=["account"])


class TokenShape(BaseModel):
    """A token by its first characters; `used_at` is exact to a minute."""

    id: int
    name: str
    prefix: str
    scopes: list[Scope]
    made_at: datetime
    expires_at: datetime
    used_at: datetime | None


class TokenList(BaseModel):
    """All tokens of the user, with those that expired lately."""

    items: list[TokenShape]


@router.get("/tokens", response=TokenList)
def list_tokens(request: Request) -> dict[str, object]:
    """List the user's tokens."""
    require_scope(request.user, Act.SEE)
    rows = ApiToken.objects.filter(user=request.user)
    return {"items": [_shape(row) for row in rows]}


@router.delete(
    "/tokens/{int:number}", response={204: None}, operation_id="revoke_token"
)
def delete_token(request: Request, number: int) -> HttpResponse:
    """Revoke a token, which may be the one of this request."""
    require_scope(request.user, OwnAct.TOKENS)
    rows = ApiToken.objects.filter(user=request.user).select_related("user")
    revoke_token(get_object_or_404(rows, pk=number))
    return HttpResponse(status=HTTPStatus.NO_CONTENT)


def _shape(row: ApiToken) -> dict[str, object]:
    names = ("name", "prefix", "made_at", "expires_at", "used_at")
    values = {name: getattr(row, name) for name in names}
    return {"id": row.pk, "scopes": row.scopes.split(), **values}
