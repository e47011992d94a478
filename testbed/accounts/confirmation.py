"""The password, or a second factor, once more: before acts that outlive a session."""

from urllib.parse import urlencode

from allauth.account.adapter import get_adapter
from allauth.account.decorators import reauthentication_required
from allauth.account.internal.flows.reauthentication import (
    get_reauthentication_flows,
    is_reauthentication_required,
    raise_if_reauthentication_required,
)
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from testbed.access.scopes import scopes_of
from testbed.access.visibility import Request


def can_confirm(request: Request) -> bool:
    """Return whether the user has a password or factor here to give once more."""
    return bool(get_reauthentication_flows(request.user))


def lacks_confirmation(request: Request) -> bool:
    """Return whether a session's user who can has not given it lately.

    A program with a token has none to give: its scope allows the act.
    """
    is_session = scopes_of(request.user) is None
    return (
        is_session
        and can_confirm(request)
        and is_reauthentication_required(request, app="testbed")
    )


def require_confirmation(request: Request) -> None:
    """Require it of a user who can. Raises: ReauthenticationRequired, for allauth."""
    if can_confirm(request):
        raise_if_reauthentication_required(request, app="testbed")


def way_to_confirmation(request: HttpRequest) -> HttpResponse | None:
    """Return the way to the question, which leads back here; None: it needs no asking.

    The request itself is not kept, as it may hold a password.
    """
    ways = get_adapter().get_reauthentication_methods(request.user)
    if not ways or not is_reauthentication_required(request, app="testbed"):
        return None
    return redirect(f"{ways[0]['url']}?{urlencode({'next': request.path})}")


# Of a view whose POST makes something that outlives the session.
confirmed = reauthentication_required(allow_get=True, enabled=can_confirm)
