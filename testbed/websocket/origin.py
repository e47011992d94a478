"""Lets in websockets of this site's own pages, as Django does with forms, and programs.

Scheme, host and port of the Origin are compared with those of the request, or with
CSRF_TRUSTED_ORIGINS where a proxy changes them. Command line clients send it, too. A
program with an API token needs none: no browser sends that header for a page.
"""

from channels.security.websocket import WebsocketDenier
from django.conf import settings
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest

from testbed.access.tokens import token_in
from testbed.websocket.backpressure import Application, Message, Receive, Send


class OwnOrigin:
    """Refuses a websocket that a page of another site opens."""

    def __init__(self, application: Application) -> None:
        self._application = application

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass the connection on, or deny it (HTTP 403)."""
        is_let_in = token_of(scope) is not None or is_own(scope)
        serve = self._application if is_let_in else WebsocketDenier()
        await serve(scope, receive, send)


def token_of(scope: Message) -> str | None:
    """Return the API token of a websocket's handshake; None without one."""
    for name, value in scope["headers"]:
        if name.lower() == b"authorization":
            return token_in(value.decode("latin1"))
    return None


def is_own(scope: Message) -> bool:
    """Return whether the Origin of a websocket is this site."""
    request = HttpRequest()
    for name, value in scope["headers"]:
        key = name.decode("latin1").upper().replace("-", "_")
        request.META[f"HTTP_{key}"] = value.decode("latin1")
    origin = request.META.get("HTTP_ORIGIN", "")
    if origin in settings.CSRF_TRUSTED_ORIGINS:
        return True
    is_secure = request.is_secure() or scope.get("scheme") == "wss"
    try:
        return bool(origin == f"http{'s' * is_secure}://{request.get_host()}")
    except (DisallowedHost, KeyError):  # no Host, or not one of ours
        return False
