"""A user's own SSH keys. A key opens guests also when the token has ended: `manage`."""

from datetime import datetime
from http import HTTPStatus

from django.http import HttpResponse
from django.shortcuts import get_object_or_404
from django.views.decorators.debug import sensitive_variables
from ninja import Router, Schema, Status

from testbed.access.permissions import Act, OwnAct, require_scope
from testbed.access.visibility import Request
from testbed.accounts.confirmation import lacks_confirmation
from testbed.api.problems import Refused
from testbed.api.wishes import Text, Wish, Words
from testbed.models import UserKey
from testbed.ssh.keys import add_key, remove_key

router = Router(tags=["account"])


class KeyShape(Schema):
    """A public key."""

    id: int
    name: str
    kind: str
    bits: int
    fingerprint: str
    added_at: datetime


class KeyList(Schema):
    """All keys of the user."""

    items: list[KeyShape]


class NewKey(Wish):
    """A public key as a line; without a name it gets that of its comment."""

    key: Text
    name: Words = ""


@router.get("/ssh-keys", response=KeyList)
def list_ssh_keys(request: Request) -> dict[str, object]:
    """List the user's SSH keys."""
    require_scope(request.user, Act.SEE)
    return {"items": list(UserKey.objects.filter(user=request.user))}


# Some send a private key: reports of errors must not show it.
@router.post("/ssh-keys", response={201: KeyShape})
@sensitive_variables("new")
def add_ssh_key(request: Request, new: NewKey) -> Status[UserKey]:
    """Add a public key, which the guests of the user's testbeds accept then."""
    require_scope(request.user, OwnAct.SSH_KEYS)
    if lacks_confirmation(request):
        raise Refused(
            HTTPStatus.FORBIDDEN,
            "A session does not add an SSH key without the password.",
            hint="Add it on the page SSH keys, or with a token of the scope manage.",
        )
    return Status(201, add_key(request.user, new.name, new.key))


@router.delete("/ssh-keys/{int:number}", response={204: None})
def remove_ssh_key(request: Request, number: int) -> HttpResponse:
    """Remove a key; guests forget it within half a minute."""
    require_scope(request.user, OwnAct.SSH_KEYS)
    remove_key(get_object_or_404(UserKey, user=request.user, pk=number))
    return HttpResponse(status=204)
