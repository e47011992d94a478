"""The browser's side of a screen's protocol: RFB 3.8, as QEMU's VNC server takes it.

Each byte of a browser passes here (`screen.py`). QEMU disconnects others for a viewer
that asks to be alone, lets each one type, and gives every viewer the clipboard of the
others: none of that is left to the browser. Source: RFC 6143, section 7; QEMU's
ui/vnc.c, `protocol_client_msg`.
"""

import struct
from collections.abc import Callable

from testbed.consoles.messages import BadMessage

VERSION = b"RFB 003.008\n"
_NO_PASSWORD = b"\x01"
_SHARED = b"\x01"
_SET_ENCODINGS, _CUT_TEXT, _QEMU = 2, 6, 255
_KEY, _POINTER, _EXTENDED_KEY = 4, 5, 0
_TYPING = (_KEY, _POINTER, _QEMU)
# The part of each message that tells its length: the whole of most.
_HEADS = {
    0: 20,
    _SET_ENCODINGS: 4,
    3: 10,
    _KEY: 8,
    _POINTER: 6,
    _CUT_TEXT: 8,
    _QEMU: 12,
}


class ClientFilter:
    """Passes a browser's messages on, whole or not at all; holds 20 bytes at most.

    `on_typing` is called for each key and pointer event that is passed.
    """

    def __init__(self, *, may_type: bool, on_typing: Callable[[], None]) -> None:
        self._may_type = may_type
        self._on_typing = on_typing
        self._greeting = [VERSION, _NO_PASSWORD, b""]
        self._head = bytearray()
        self._rest = 0
        self._passes_rest = False

    def feed(self, data: bytes) -> bytes:
        """Return what of the bytes goes on. Raises: BadMessage."""
        passed = bytearray()
        at = 0
        while at < len(data):
            at += self._take(data[at : at + (self._rest or self._missing())], passed)
        return bytes(passed)

    def _take(self, piece: bytes, passed: bytearray) -> int:
        """Take a piece of one message; return its length."""
        if self._rest:
            self._rest -= len(piece)
            if self._passes_rest:
                passed += piece
            return len(piece)
        self._head += piece
        if not self._missing():
            head = bytes(self._head)
            self._head.clear()
            passed += self._greeted(head) if self._greeting else self._begun(head)
        return len(piece)

    def _missing(self) -> int:
        """Return how many bytes the head lacks."""
        if self._greeting:
            return max(1, len(self._greeting[0])) - len(self._head)
        if not self._head:
            return 1
        size = _HEADS.get(self._head[0])
        if size is None:
            raise BadMessage(f"No message of a screen has the type {self._head[0]}.")
        return size - len(self._head)

    def _greeted(self, said: bytes) -> bytes:
        expected = self._greeting.pop(0)
        if not expected:
            return _SHARED
        if said != expected:
            raise BadMessage("A screen speaks RFB 3.8 without a password.")
        return said

    def _begun(self, head: bytes) -> bytes:
        """Return the head of a message if it goes on, and note the length of its rest."""
        kind = head[0]
        self._passes_rest = kind == _SET_ENCODINGS
        if kind == _SET_ENCODINGS:
            self._rest = 4 * struct.unpack_from(">H", head, 2)[0]
        elif kind == _CUT_TEXT:
            # A negative length marks the extended form.
            self._rest = abs(struct.unpack_from(">i", head, 4)[0])
            return b""
        elif kind == _QEMU and head[1] != _EXTENDED_KEY:
            raise BadMessage("Of QEMU's messages only keys are taken.")
        if kind in _TYPING:
            if not self._may_type:
                return b""
            self._on_typing()
        return head
