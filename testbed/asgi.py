"""The ASGI application: pages by Django, websockets by channels.

Daphne builds its requests from the class in its module, whichever way it is started:
here that is replaced by one that bounds bodies (`testbed/bodies.py`).

A websocket must come from a page of this site, and carries the session of the page.
"""

import os
from importlib import import_module

from channels.auth import AuthMiddlewareStack
from channels.routing import ProtocolTypeRouter, URLRouter
from daphne import http_protocol
from django.conf import settings
from django.core.asgi import get_asgi_application
from django.urls import re_path

from testbed.heap import keep_loaded

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "testbed.settings")
http = get_asgi_application()

# These need Django to be set up, as the line above does.
from testbed.bodies import BoundedRequest  # noqa: E402
from testbed.websocket.backpressure import (  # noqa: E402
    FlowControl,
    ResponseFlow,
)
from testbed.websocket.board import Beat, Board  # noqa: E402
from testbed.websocket.console import ConsoleConsumer, Times  # noqa: E402
from testbed.websocket.consumer import NothingHere, Pace, RunConsumer  # noqa: E402
from testbed.websocket.origin import OwnOrigin  # noqa: E402
from testbed.websocket.rows import RowsConsumer  # noqa: E402


def addresses(
    pace: Pace, times: Times | None = None, beat: Beat | None = None
) -> URLRouter:
    """Return the consumers of all websocket addresses."""
    run = RunConsumer.as_asgi(pace=pace)
    console = ConsoleConsumer.as_asgi(times=times or Times())
    rows = RowsConsumer.as_asgi(board=Board(beat or Beat()))
    return URLRouter(
        [
            re_path(r"^ws/orchestration/(?P<run>[0-9]{1,18})/$", run),
            re_path(r"^ws/console/$", console),
            re_path(r"^ws/testbeds/$", rows),
            re_path(r"", NothingHere.as_asgi()),
        ]
    )


def websockets(
    pace: Pace, times: Times | None = None, beat: Beat | None = None
) -> FlowControl:
    """Return the application of all websocket addresses."""
    return FlowControl(OwnOrigin(AuthMiddlewareStack(addresses(pace, times, beat))))


http_protocol.WebRequest = BoundedRequest

application = ProtocolTypeRouter(
    {"http": ResponseFlow(http), "websocket": websockets(Pace())}
)
# Views are loaded with their addresses, which else the first request does.
import_module(settings.ROOT_URLCONF)
keep_loaded()
