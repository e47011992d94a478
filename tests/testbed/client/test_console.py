"""A console in a terminal: keys, output, words, and a terminal that is put right."""

import json
import os
import pty
import queue
import signal
import termios
import threading
from collections.abc import Iterator

import pytest
from websockets.exceptions import ConnectionClosedError
from websockets.frames import Close

from testbed.client.console import ConsoleEnded, Ends, attend
from tests.waiting import wait_until

_END = object()


class Socket:
    """A websocket of which a test writes the server's side."""

    def __init__(self) -> None:
        self.sent: list[bytes | str] = []
        self._coming: queue.Queue[object] = queue.Queue()

    def says(self, *messages: object) -> None:
        for one in messages:
            self._coming.put(json.dumps(one) if isinstance(one, dict) else one)

    def ends(self, code: int = 0) -> None:
        self._coming.put(ConnectionClosedError(Close(code, ""), None) if code else _END)

    def send(self, message: bytes | str) -> None:
        self.sent.append(message)

    def close(self) -> None:
        self.ends()

    def __iter__(self) -> Iterator[object]:
        while (message := self._coming.get()) is not _END:
            if isinstance(message, Exception):
                raise message
            yield message

    @property
    def typed(self) -> bytes:
        return b"".join(one for one in self.sent if isinstance(one, bytes))

    @property
    def frames(self) -> list[dict[str, object]]:
        return [json.loads(one) for one in self.sent if isinstance(one, str)]


class Terminal:
    """A terminal with a reader of what is on its screen."""

    def __init__(self) -> None:
        self.hand, self.end = pty.openpty()
        self.ends = Ends(self.end, self.end, self.end)
        self.seen = bytearray()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def close(self) -> None:
        """Close both ends, the hand's when its reader is done with it."""
        os.close(self.end)
        self._reader.join(30)
        # Its descriptor's number could else become another file's while it reads.
        assert not self._reader.is_alive(), "the reader of the terminal does not end"
        os.close(self.hand)

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.hand, 4096)
            except OSError:
                return
            self.seen += data

    def type(self, keys: bytes) -> None:
        os.write(self.hand, keys)

    @property
    def is_raw(self) -> bool:
        return not termios.tcgetattr(self.end)[3] & termios.ECHO


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    made = Terminal()
    yield made
    made.close()


@pytest.fixture
def socket() -> Socket:
    return Socket()


def test_keys_go_to_the_guest_until_the_way_out_is_typed(
    terminal: Terminal, socket: Socket
) -> None:
    def user() -> None:
        wait_until(lambda: terminal.is_raw)
        terminal.type(b"ls\r\x03")
        wait_until(lambda: socket.typed == b"ls\r\x03")
        terminal.type(b"x\x1dnot this")

    person = threading.Thread(target=user)
    person.start()
    attend(socket, terminal.ends)
    person.join()

    assert socket.typed == b"ls\r\x03x"
    assert not terminal.is_raw


def test_output_is_written_as_it_is_and_counted(
    terminal: Terminal, socket: Socket
) -> None:
    socket.says(b"\x1b[1mlogin: ", b"x" * 70_000)
    socket.ends()

    attend(socket, terminal.ends)

    wait_until(lambda: terminal.seen.endswith(b"\x1b[0m\r\n"))
    assert b"\x1b[1mlogin: xxx" in terminal.seen
    assert socket.frames == [{"type": "taken", "bytes": 70_011}]


def test_output_of_before_asks_the_terminal_nothing(
    terminal: Terminal, socket: Socket
) -> None:
    socket.says({"type": "replay", "bytes": 12}, b"booted\x1b[6n\r\nok", b"\x1b[1mnow")
    socket.ends()

    attend(socket, terminal.ends)

    wait_until(lambda: b"now" in terminal.seen)
    assert b"booted\r\nok\x1b[1mnow" in terminal.seen


def test_words_of_the_server_are_shown_without_codes(
    terminal: Terminal, socket: Socket
) -> None:
    people = [{"name": "ada", "types": True}, {"name": "b\x1b[2Jo", "types": False}]
    socket.says(
        {"type": "state", "state": "opening", "text": "", "hint": ""},
        {"type": "state", "state": "waiting", "text": "web is off.", "hint": ""},
        {"type": "state", "state": "open", "text": "", "hint": ""},
        {"type": "people", "people": people},
        {"type": "people", "people": people[:1]},
        {"type": "reset"},
        {"type": "skipped", "bytes": 7},
    )
    socket.ends()

    attend(socket, terminal.ends)

    wait_until(lambda: b"too slow" in terminal.seen)
    words = [line for line in terminal.seen.split(b"\r\n") if line.startswith(b"[")]
    assert words == [
        b"[web is off.]",
        b"[Connected.]",
        b"[Open for ada, bo.]",
        b"[7 bytes were left out: this terminal was too slow.]",
    ]


@pytest.mark.parametrize(
    ("code", "sentence"),
    [
        (4401, "Your API token has ended."),
        (4404, "You may not use this console any more."),
        (4503, "No console gateway answers."),
        (1006, "The connection to the server broke."),
    ],
)
def test_close_of_the_server_becomes_its_reason(
    terminal: Terminal, socket: Socket, code: int, sentence: str
) -> None:
    socket.ends(code)

    with pytest.raises(ConsoleEnded) as caught:
        attend(socket, terminal.ends)

    assert caught.value.message == sentence
    assert caught.value.hint
    assert not terminal.is_raw


def test_failed_console_says_why(terminal: Terminal, socket: Socket) -> None:
    failed = {"type": "state", "state": "failed", "text": "No key fits.", "hint": "Up."}
    socket.says(failed)

    with pytest.raises(ConsoleEnded, match="No key fits"):
        attend(socket, terminal.ends)


def test_new_size_of_the_window_is_told(terminal: Terminal, socket: Socket) -> None:
    def user() -> None:
        wait_until(lambda: terminal.is_raw)
        termios.tcsetwinsize(terminal.end, (40, 100))
        os.kill(os.getpid(), signal.SIGWINCH)
        wait_until(lambda: socket.frames)
        terminal.type(b"\x1d")

    person = threading.Thread(target=user)
    person.start()
    attend(socket, terminal.ends)
    person.join()

    assert socket.frames[0] == {"type": "resize", "columns": 100, "rows": 40}
