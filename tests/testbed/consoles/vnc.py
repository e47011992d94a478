"""A small VNC server on a socket pair: greets, and keeps what it was sent."""

import select
import socket
import threading
from contextlib import suppress

from orchestration.transport.streams import Stream
from testbed.consoles.rfb import VERSION

PICTURE = b"a picture"


class VncServer:
    """The screen of one guest, as one viewer's connection has it."""

    def __init__(self, greeting: bytes = VERSION) -> None:
        self._here, there = socket.socketpair()
        self.stream = Stream(there)
        self.received = bytearray()
        self.is_closed = False
        self.show(greeting)
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def show(self, data: bytes) -> None:
        self._here.sendall(data)

    def end(self) -> None:
        """End, as a guest that goes off does."""
        self._here.shutdown(socket.SHUT_RDWR)

    def show_until_full(self) -> int:
        """Show without end; return how many bytes were taken until nobody reads."""
        total = 0
        while total < 1 << 30 and select.select([], [self._here], [], 1.0)[1]:
            total += self._here.send(b"y" * 65_536, socket.MSG_DONTWAIT)
        return total

    def _read(self) -> None:
        # A peer that closes before it has read all resets.
        with self._here, suppress(ConnectionResetError):
            while data := self._here.recv(65_536):
                self.received += data
        self.is_closed = True
