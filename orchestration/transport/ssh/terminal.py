"""A login shell on a pseudo-terminal of a machine, for the consoles in the browser.

`SSHTransport.open_terminal` opens one on the machine's kept connection. An unread shell
waits: the peer's window grows only with what was read.
"""

import contextlib
from collections.abc import Callable
from functools import partial

import paramiko

from orchestration.errors import ConsoleUnavailable
from orchestration.transport.ssh.connection import Connection, Wake, release
from orchestration.transport.ssh.waiting import cancellable

KIND = "xterm-256color"
_READ_BYTES = 64 * 1024
_NO_STATUS = -1


class Terminal:
    """A shell and its terminal. `read`, `write` and `close` block; all are thread-safe.

    `done` is called once, after the shell was closed.
    """

    def __init__(self, channel: paramiko.Channel, done: Callable[[], None]) -> None:
        self._channel = channel
        self._done = contextlib.ExitStack()
        self._done.callback(done)

    @property
    def is_lost(self) -> bool:
        """Whether the connection ended, and not the shell; known after the last output."""
        return (
            not self._channel.eof_received and self._channel.exit_status == _NO_STATUS
        )

    def read(self) -> bytes:
        """Return the next output, empty after the end."""
        try:
            return self._channel.recv(_READ_BYTES)
        except (paramiko.SSHException, EOFError, OSError):
            return b""

    def write(self, data: bytes) -> None:
        """Type; returns when the machine has taken it, or the shell has ended."""
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            self._channel.sendall(data)

    def resize(self, columns: int, rows: int) -> None:
        """Tell the shell the new size of its terminal."""
        with contextlib.suppress(paramiko.SSHException, EOFError, OSError):
            self._channel.resize_pty(columns, rows)

    def close(self) -> None:
        """End the shell: its terminal hangs up. A second call does nothing."""
        release(self._channel)
        self._done.close()


def open_shell(
    connection: Connection, columns: int, rows: int, *, is_stopped: Callable[[], bool]
) -> paramiko.Channel:
    """Open a channel with a login shell on a terminal.

    Raises: Cancelled, ConsoleUnavailable, HostUnreachable and its kinds.
    """
    channel = connection.open(Wake(), is_stopped)
    channel.set_combine_stderr(True)
    try:
        cancellable(partial(_begin, channel, columns, rows), is_stopped)
    except BaseException as exc:
        release(channel)
        if not isinstance(exc, (paramiko.SSHException, EOFError, OSError)):
            raise
        raise ConsoleUnavailable(
            f"{connection.login.machine} opens no terminal for a shell.",
            hint="The serial console works without SSH.",
            detail=str(exc),
        ) from exc
    return channel


def _begin(channel: paramiko.Channel, columns: int, rows: int) -> None:
    channel.get_pty(KIND, columns, rows)
    channel.invoke_shell()
