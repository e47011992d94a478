"""A user's own API tokens, listed and revoked; they are made on their page alone."""

from datetime import datetime

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from ninja import Router
from pydantic import BaseModel

from testbed.access.permissions import Act, OwnAct, require_scope
from testbed.access.tokens import revoke_token
from testbed.access.visibility import Request
from testbed.models import ApiToken

router = Router(tags=["account"])


class TokenShape(BaseModel):
    """A token; `prefix` are its first characters, the rest is kept nowhere."""

    id: int
    name: str
    prefix: str
    scopes: list[str]
    made_at: datetime
    expires_at: datetime
    used_at: datetime | None


class TokenList(BaseModel):
    """All tokens of the user, the newest first."""

    items: list[TokenShape]


@router.get("/tokens", response=TokenList)
def list_tokens(request: Request) -> dict[str, object]:
    """List the user's tokens, also those that expired in the last month."""
    require_scope(request.user, Act.SEE)
    rows = ApiToken.objects.filter(user=request.user)
    return {"items": [_shape(row) for row in rows]}


@router.delete(
    "/tokens/{int:number}", response={204: None}, operation_id="revoke_token"
)
def end_token(request: Request, number: int) -> HttpResponse:
    """End a token at once; also the one of this request."""
    require_scope(request.user, OwnAct.TOKENS)
    rows = ApiToken.objects.select_related("user")
    revoke_token(get_object_or_404(rows, user=request.user, pk=number))
    return HttpResponse(status=204)


def _shape(row: ApiToken) -> dict[str, object]:
    return {
        "id": row.pk,
        "name": row.name,
        "prefix": row.prefix,
        "scopes": row.scopes.split(),
        "made_at": row.made_at,
        "expires_at": row.expires_at,
        "used_at": row.used_at,
    }
