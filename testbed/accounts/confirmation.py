"""The password, or a second factor, once more: before acts that outlive a session."""

from allauth.account.decorators import reauthentication_required
from allauth.account.internal.flows.reauthentication import (
    get_reauthentication_flows,
    raise_if_reauthentication_required,
)

from testbed.access.visibility import Request


def can_confirm(request: Request) -> bool:
    """Return whether the user has a password or factor here to give once more."""
    return bool(get_reauthentication_flows(request.user))


def require_confirmation(request: Request) -> None:
    """Require it of a user who can. Raises: ReauthenticationRequired, for allauth."""
    if can_confirm(request):
        raise_if_reauthentication_required(request, app="testbed")


# Of a view whose POST makes something that outlives the session.
confirmed = reauthentication_required(allow_get=True, enabled=can_confirm)
