"""A console as its page reads it, without a browser: words, output, acknowledgements."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager

from websockets.sync.client import ClientConnection

from testbed.client.watching import send
from tests.live.client import Client

ACKNOWLEDGED_BYTES = 32 * 1024
WITHIN_S = 60.0


class ConsolePage:
    """One open console; driven by one thread."""

    def __init__(self, socket: ClientConnection) -> None:
        self._socket = socket
        self._untold = 0
        self.said: list[dict[str, object]] = []
        self.past = b""
        self.output_bytes = 0

    def type(self, data: bytes) -> None:
        """Type into the console."""
        self._socket.send(data)

    def read(self) -> bytes:
        """Return the next output, keeping the words before it. Raises: TimeoutError."""
        while isinstance(message := self._socket.recv(WITHIN_S), str):
            self.said.append(json.loads(message))
        self._take(message)
        return message

    def read_until(self, word: bytes) -> None:
        """Read until the output has a word. Raises: TimeoutError."""
        deadline, tail = time.monotonic() + WITHIN_S, b""
        while word not in tail:
            if time.monotonic() > deadline:
                raise TimeoutError(f"no {word!r} in {tail!r}")
            tail = tail[-len(word) :] + self.read()

    def wait_until_open(self) -> None:
        """Read the past, until the console takes what is typed."""
        while not any(words.get("state") == "open" for words in self.said):
            message = self._socket.recv(WITHIN_S)
            if isinstance(message, str):
                self.said.append(json.loads(message))
            else:
                self._take(message)
                self.past += message

    def _take(self, output: bytes) -> None:
        self.output_bytes += len(output)
        self._untold += len(output)
        if self._untold >= ACKNOWLEDGED_BYTES:
            send(self._socket, {"type": "taken", "bytes": self._untold})
            self._untold = 0


@contextmanager
def console_page(
    client: Client, slug: str, guest: str, mode: str, *, typing: bool = True
) -> Iterator[ConsolePage]:
    """Open a console and wait until it is open."""
    with client.console(slug, guest, mode, typing=typing) as socket:
        page = ConsolePage(socket)
        page.wait_until_open()
        yield page
