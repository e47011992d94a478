"""One command on one SSH channel: start it, move its bytes, read its exit code.

All on the caller's thread, for any amount of input and output: input is sent as
the peer's window allows, output is passed on as it comes, and an unread peer waits.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from functools import partial
from typing import cast

import paramiko

from orchestration.errors import Cancelled
from orchestration.transport.processes.login_shell import Begun, for_any_shell
from orchestration.transport.ssh.connection import Wake, release
from orchestration.transport.ssh.limits import LinkLost
from orchestration.transport.ssh.link import Link, NotSent, was_closed_there
from orchestration.transport.ssh.waiting import POLL_S, cancellable

# OpenSSH takes packets of 32 KiB; 64 bytes of them are paramiko's headers.
CHUNK_BYTES = 32 * 1024 - 64
# The time one send may wait for the window before output is read again.
_SEND_S = 0.02
# The time to wait for output after the program's end: a background process may hold the
# streams open for ever.
LINGER_S = 1.0
# More than a link takes of one stream before it was read: a window of 2 MiB.
_READ_BYTES = 4 * 1024 * 1024
# Between two pieces of output a stop and the deadline are checked. A piece of short
# lines takes a listener at 30,000 lines/s half a second.
_PIECE_BYTES = 64 * 1024
_NO_STATUS = -1
# The pause between two channels, for a server that closed one instead of answering.
_UNANSWERED_PAUSES_S = (0.0, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)

Sink = Callable[[bytes], None]


class TimeUp(Exception):
    """The command did not end in time."""


class Session:
    """A channel with a command on it; `open_channel` sets `wake` when something comes.

    Opening raises the errors of `open_channel`.
    """

    def __init__(
        self,
        open_channel: Callable[[], paramiko.Channel],
        wake: Wake,
        *,
        stdout: Sink,
        stderr: Sink,
    ) -> None:
        self._open_channel = open_channel
        self._wake = wake
        self._begun = (Begun(stdout), Begun(stderr))
        self._stdout: Sink = self._begun[0].feed
        self._stderr: Sink = self._begun[1].feed
        self._unsent = b""
        self._is_sending = True
        self._exited_at = 0.0
        self._channel = self._opened()

    @property
    def link(self) -> Link:
        """The link of its channel."""
        return cast("Link", self._channel.get_transport())

    @property
    def is_begun(self) -> bool:
        """Return whether the login shell started the command."""
        return self._begun[0].is_begun

    @property
    def printed(self) -> str:
        """The login's output before the command."""
        texts = (begun.printed.decode(errors="replace") for begun in self._begun)
        return "\n".join(text.strip() for text in texts if text.strip())

    def start(
        self,
        line: str,
        is_stopped: Callable[[], bool],
        *,
        is_repeatable: bool = False,
        has_input: bool = True,
    ) -> None:
        """Request the command; on another channel when the server closed this one.

        `line` is for /bin/sh, whatever the login shell is. A request on a channel that
        the server closes is repeated only when it is repeatable or was never sent: else
        it may have run (see `Link.is_fragile`). The answer to a repeatable one is
        waited for; for others `pump` tells the same. Without input, its end is sent with
        the request: one piece instead of two. A server that broke the protocol is not
        dialled again. Raises: Cancelled, LinkLost (it may run all the same), and
        the errors of opening a channel.
        """
        line = for_any_shell(line)
        for pause_s in _UNANSWERED_PAUSES_S:
            if pause_s:
                time.sleep(pause_s)
            if self._channel.closed:
                self.link.require_unbroken()
                self.close()
                self._channel = self._opened()
            try:
                if is_repeatable:
                    wait = partial(self.link.start_command, self._channel, line)
                    cancellable(wait, is_stopped)
                else:
                    self.link.request_command(self._channel, line, has_input=has_input)
                    self._is_sending = has_input
                return
            except NotSent:
                continue
            except (paramiko.SSHException, EOFError, OSError) as exc:
                if not (is_repeatable and was_closed_there(self._channel)):
                    raise self.link.loss(str(exc)) from exc
        raise LinkLost("it starts no command")

    def close(self) -> None:
        """Close the channel; a command that still runs on it goes on."""
        release(self._channel)

    def pump(
        self, stdin: Iterator[bytes], is_stopped: Callable[[], bool], deadline: float
    ) -> int:
        """Move bytes until the command has ended; return its exit code.

        Raises: Cancelled, TimeUp, LinkLost, and the errors of the sinks and `stdin`.
        """

        def check() -> None:
            if is_stopped():
                raise Cancelled
            if time.monotonic() > deadline:
                raise TimeUp

        while True:
            self._wake.rearm()
            is_done = self._is_done()
            self._drain(_no_check if is_done else check)
            if is_done:
                return self._exit_code()
            check()
            if self._is_sending:
                self._is_sending = self._send(stdin)
            else:
                self._wake.wait(POLL_S)

    def has_ended(self, until: float) -> bool:
        """Wait for the server's report that the command is over, or the link's end.

        Further output of the command is dropped.
        """
        self._stdout = self._stderr = _drop
        while not self._channel.closed and self._channel.exit_status == _NO_STATUS:
            if time.monotonic() > until:
                return False
            self._wake.rearm()
            with contextlib.suppress(LinkLost):
                self._drain(_no_check)
            self._wake.wait(POLL_S)
        return True

    def _opened(self) -> paramiko.Channel:
        channel = self._open_channel()
        channel.settimeout(_SEND_S)
        return channel

    def _is_done(self) -> bool:
        channel = self._channel
        if channel.closed:
            return True
        if channel.exit_status == _NO_STATUS:
            return False
        self._exited_at = self._exited_at or time.monotonic()
        return (
            bool(channel.eof_received) or time.monotonic() > self._exited_at + LINGER_S
        )

    def _drain(self, check: Callable[[], None]) -> None:
        """Pass on what is buffered now; `check` may raise between two pieces.

        Output that comes meanwhile is left: a command may print faster than it is read.
        """
        channel = self._channel
        if channel.recv_ready():
            self._pass_on(self._received(channel.recv), self._stdout, check)
        if channel.recv_stderr_ready():
            self._pass_on(self._received(channel.recv_stderr), self._stderr, check)

    @staticmethod
    def _pass_on(data: bytes, sink: Sink, check: Callable[[], None]) -> None:
        for start in range(0, len(data), _PIECE_BYTES):
            check()
            sink(data[start : start + _PIECE_BYTES])

    def _received(self, receive: Callable[[int], bytes]) -> bytes:
        """Read the received bytes, which also enlarges the peer's window."""
        try:
            return receive(_READ_BYTES)
        except (paramiko.SSHException, EOFError, OSError) as exc:
            raise self.link.loss(str(exc)) from exc

    def _send(self, stdin: Iterator[bytes]) -> bool:
        """Send the next piece; return whether there may be more."""
        channel = self._channel
        self._unsent = self._unsent or next(stdin, b"")
        try:
            if not self._unsent:
                channel.shutdown_write()
                return False
            self._unsent = self._unsent[channel.send(self._unsent) :]
        except TimeoutError:
            return True
        except (paramiko.SSHException, EOFError, OSError) as exc:
            # A closed channel takes no more input: no failure in itself.
            if not channel.closed:
                raise self.link.loss(str(exc)) from exc
            return False
        return True

    def _exit_code(self) -> int:
        """Return the exit code, 255 when the server named none."""
        if self._channel.exit_status != _NO_STATUS:
            return self._channel.exit_status
        if not self._channel.eof_received:
            raise self.link.loss("the connection was closed")
        return 255


def _no_check() -> None:
    """Let all buffered output pass."""


def _drop(data: bytes) -> None:
    """Discard output, so that the server does not wait for a reader."""
