"""Finds the user of a request to the API: by its token, else by its session.

A token limits its user to its scopes, and needs no CSRF token, as no browser sends it by
itself. A session does. Where a request has a token, its session is not looked at.
"""

from http import HTTPStatus

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import BadRequest
from django.http import Http404, HttpRequest
from ninja.security.apikey import APIKeyCookie
from ninja.security.http import HttpAuthBase
from ninja.utils import check_csrf

from testbed.access.rates import take_turn
from testbed.access.tokens import found_token, token_in
from testbed.api.problems import Refused


class TokenAuth(HttpAuthBase):
    """Signs the user of `Authorization: Bearer tb_…` in."""

    openapi_scheme = "bearer"

    def __call__(self, request: HttpRequest) -> User | None:
        """Return the user; None without a token. Raises: TokenInvalid, TooManyRequests."""
        _require_plain(request)
        text = token_in(request.headers.get("Authorization", ""))
        if text is None:
            return None
        row = found_token(text)
        request.user = row.user
        take_turn(request, row.digest)
        return row.user


class SessionAuth(APIKeyCookie):
    """Signs the user of a session in; what changes something needs the CSRF token."""

    param_name = settings.SESSION_COOKIE_NAME

    def __call__(self, request: HttpRequest) -> User | None:
        """Return the user; None without a session. Raises: Refused."""
        user = request.user
        if not isinstance(user, User) or not user.is_active:
            raise Refused(
                HTTPStatus.UNAUTHORIZED,
                "This address needs an API token.",
                hint="Send `Authorization: Bearer tb_…`. Make a token under API tokens, "
                "in the menu under your name.",
            )
        if check_csrf(request):
            raise Refused(
                HTTPStatus.FORBIDDEN,
                "A request with a session needs its CSRF token.",
                hint="Send the cookie csrftoken as the header X-CSRFToken, or use an "
                "API token.",
            )
        return user

    def authenticate(self, request: HttpRequest, key: str | None) -> None:
        """Do nothing: the session was asked above."""


def _require_plain(request: HttpRequest) -> None:
    """Refuse NUL, which no name holds and PostgreSQL does not take.

    Raises: Http404, BadRequest.
    """
    if "\0" in request.path_info:
        raise Http404("No address holds NUL.")
    if any("\0" in text for values in request.GET.lists() for text in values[1]):
        raise BadRequest("A parameter holds NUL.")
