"""A guest's console in this terminal: keys go to its websocket, output comes back.

The terminal is raw meanwhile, as it is for ssh: what a guest prints acts on it, and it is
put right at the end. docs/protocol.md has the frames.
"""

import json
import os
import select
import signal
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType
from typing import Any
from urllib.parse import quote

from websockets.exceptions import (
    ConnectionClosed,
    ConnectionClosedError,
    WebSocketException,
)
from websockets.sync.client import ClientConnection

from orchestration.errors import TestbedError
from orchestration.terminal import plain, plain_lines
from testbed.client.rest.addresses import path_of
from testbed.client.rest.server import Server
from testbed.client.rest.trust import unreachable

LEAVE, LEAVE_WORDS = b"\x1d", "Ctrl+]"
_MOST_TYPED = 32 * 1024
_TAKEN_AFTER_BYTES = 64 * 1024
_RESIZED, _ENDED = b"r", b"e"
# Soft reset, own screen, no reports of the mouse or of pasting, the cursor.
_PUT_RIGHT = (
    b"\x1b[!p\x1b[?1049l\x1b[?1000l\x1b[?1002l\x1b[?1003l\x1b[?1006l\x1b[?2004l"
    b"\x1b[?25h\x1b[0m\r\n"
)
_REASONS = {
    4401: ("Your API token has ended.", "Sign in again with `testbed login`."),
    4404: ("You may not use this console any more.", "Ask the testbed's owner."),
    4429: ("You have too many open consoles and pages.", "Close some of them."),
    4503: ("No console gateway answers.", "Try again in a minute, or ask a lab admin."),
}


class ConsoleEnded(TestbedError):
    """A console ended, and not because its user left."""


@dataclass(frozen=True, slots=True)
class Ends:
    """The terminal's ends, as file descriptors: keys, screen, and words about both."""

    keys: int = 0
    screen: int = 1
    words: int = 2

    @property
    def size(self) -> tuple[int, int]:
        """Columns and rows."""
        return tuple(os.get_terminal_size(self.screen))  # type: ignore[return-value]


@dataclass(slots=True)
class _Keyboard:
    """Sends what is typed, in a thread; `has_left` once its user typed the way out."""

    socket: ClientConnection
    ends: Ends
    has_left: bool = False
    pipe: tuple[int, int] = field(default_factory=os.pipe)

    def run(self) -> None:
        """Send keys and sizes until the console ends."""
        with suppress(ConnectionClosed, OSError):
            while self._turn():
                pass

    def wake(self, word: bytes) -> None:
        """Tell the thread about something, also from a signal's handler."""
        os.write(self.pipe[1], word)

    def _turn(self) -> bool:
        ready, _, _ = select.select([self.ends.keys, self.pipe[0]], [], [])
        if self.pipe[0] in ready:
            if os.read(self.pipe[0], 1) == _ENDED:
                return False
            columns, rows = self.ends.size
            frame = {"type": "resize", "columns": columns, "rows": rows}
            self.socket.send(json.dumps(frame))
            return True
        typed = os.read(self.ends.keys, _MOST_TYPED)
        before, way_out, _ = typed.partition(LEAVE)
        if before:
            self.socket.send(before)
        if way_out or not typed:
            self.has_left = True
            self.socket.close()
        return not self.has_left


def open_console(
    server: Server,
    testbed: str,
    guest: str,
    ends: Ends,
    *,
    is_shell: bool = False,
    typing: bool = True,
) -> None:
    """Open a guest's serial console, or a shell in it, until one of both leaves.

    Raises: ConsoleEnded, ServerProblem, ServerUnreachable.
    """
    path = path_of(testbed, f"guests/{quote(guest, safe='')}/console")
    mode = "shell" if is_shell else "serial"
    try:
        with server.console(path, mode, typing=typing, size=ends.size) as socket:
            _write(ends.words, f"{LEAVE_WORDS} leaves {guest}.\r\n".encode())
            attend(socket, ends)
    except (OSError, WebSocketException) as exc:
        raise unreachable(server.url, exc) from exc


def attend(socket: ClientConnection, ends: Ends) -> None:
    """Join the terminal and a console until one of them leaves.

    Raises: ConsoleEnded (with the server's reason), OSError.
    """
    keyboard = _Keyboard(socket, ends)
    thread = threading.Thread(target=keyboard.run, daemon=True)
    with _raw(ends), _resizes(keyboard):
        thread.start()
        try:
            reason = _show(socket, ends)
        except ConnectionClosedError as exc:
            reason = _REASONS.get(exc.rcvd.code if exc.rcvd else 0) or (
                "The connection to the server broke.",
                "Open the console again.",
            )
        finally:
            keyboard.wake(_ENDED)
            thread.join()
            for end in keyboard.pipe:
                os.close(end)
    if reason and not keyboard.has_left:
        raise ConsoleEnded(reason[0], hint=reason[1])


def _show(socket: ClientConnection, ends: Ends) -> tuple[str, str] | None:
    """Print output and words; return the server's reason, when it failed."""
    is_past, shown = False, 0
    for message in socket:
        if isinstance(message, str):
            frame = json.loads(message)
            is_past = frame["type"] == "replay"
            if frame.get("state") in ("failed", "idle"):
                return frame.get("text", ""), frame.get("hint", "")
            if words := _words_of(frame):
                _write(ends.words, f"\r\n[{plain(words)}]\r\n".encode())
            continue
        _write(ends.screen, _past(message) if is_past else message)
        is_past, shown = False, shown + len(message)
        if shown >= _TAKEN_AFTER_BYTES:
            socket.send(json.dumps({"type": "taken", "bytes": shown}))
            shown = 0
    return None


def _past(output: bytes) -> bytes:
    """Return output of before without codes, as the terminal would answer some."""
    text = plain_lines(output.decode(errors="replace").replace("\r\n", "\n"))
    return text.replace("\n", "\r\n").encode()


def _words_of(frame: dict[str, Any]) -> str:
    """Return what a frame says to a reader; empty for one that only works."""
    kind = frame["type"]
    if kind == "state" and frame["state"] == "open":
        return "Connected."
    if kind == "state":
        return f"{frame.get('text', '')} {frame.get('hint', '')}".strip()
    if kind == "notice":
        return str(frame["text"])
    if kind == "skipped":
        return f"{frame['bytes']} bytes were left out: this terminal was too slow."
    if kind == "people" and len(frame["people"]) > 1:
        names = ", ".join(str(one["name"]) for one in frame["people"])
        return f"Open for {names}."
    return ""


def _write(to: int, data: bytes) -> None:
    while data:
        data = data[os.write(to, data) :]


@contextmanager
def _raw(ends: Ends) -> Iterator[None]:
    """Hand each key on as it is; put the terminal right at the end.

    What the terminal answered to the guest and nobody read would else be typed into
    the shell.
    """
    before = termios.tcgetattr(ends.keys)
    tty.setraw(ends.keys)
    try:
        yield
    finally:
        with suppress(OSError):
            _write(ends.screen, _PUT_RIGHT)
        termios.tcsetattr(ends.keys, termios.TCSAFLUSH, before)


@contextmanager
def _resizes(keyboard: _Keyboard) -> Iterator[None]:
    """Tell the keyboard when the terminal's window changes its size."""

    def note(number: int, frame: FrameType | None) -> None:
        keyboard.wake(_RESIZED)

    former = signal.signal(signal.SIGWINCH, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGWINCH, former)
