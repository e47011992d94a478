"""Opens websockets of a server; imported when the first one is opened.

Proxies are those of the environment, as of requests.
"""

import ssl
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import urlsplit

from websockets.sync.client import ClientConnection, connect

from testbed.client.rest.trust import proxy_of

# Sixteen of them may wait to be read.
MAX_FRAME_BYTES = 16 * 1024 * 1024


@contextmanager
def opened(
    url: str,
    path: str,
    *,
    headers: Mapping[str, str],
    trusted: ssl.SSLContext | None,
    timeout_s: float | None,
) -> Iterator[ClientConnection]:
    """Open a websocket of the server at `url`. Raises: OSError, WebSocketException."""
    place = urlsplit(url)
    is_safe = place.scheme == "https"
    with connect(
        f"{'wss' if is_safe else 'ws'}://{place.netloc}{path}",
        additional_headers=headers,
        ssl=trusted if is_safe else None,
        proxy=proxy_of(url),
        max_size=MAX_FRAME_BYTES,
        open_timeout=timeout_s,
    ) as socket:
        yield socket
