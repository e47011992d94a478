"""Unix sockets of a machine, for the consoles in the browser.

Root's own SSH server connects to them, without a program and beside any number of
commands. Another account's may not: a few lines of Python, which every machine with
Open vSwitch has, connect with sudo and copy the bytes.
"""

import contextlib
import threading
from collections.abc import Callable

import paramiko

from orchestration.errors import ConsoleUnavailable
from orchestration.transport.base import Scope, command
from orchestration.transport.processes.login_shell import Begun, for_any_shell
from orchestration.transport.processes.tags import tag_of, wrap_line
from orchestration.transport.ssh.connection import Connection, Wake, release
from orchestration.transport.streams import Stream

_CONNECTED = b"+"
_READ_BYTES = 64 * 1024
_COPY = """
import os, socket, sys, threading
there = socket.socket(socket.AF_UNIX)
there.connect(sys.argv[1])
os.write(1, b"+")
def send():
    while data := os.read(0, 65536):
        there.sendall(data)
    there.shutdown(socket.SHUT_RDWR)
threading.Thread(target=send, daemon=True).start()
while data := there.recv(65536):
    while data:
        data = data[os.write(1, data):]
os._exit(0)
"""


def connect(connection: Connection, path: str) -> Stream:
    """Connect as the login's account.

    Raises: ConsoleUnavailable, HostUnreachable and its kinds.
    """
    try:
        return Stream(connection.socket(path))
    except OSError as exc:
        raise ConsoleUnavailable(
            f"The SSH server of {connection.login.machine} does not connect to {path}.",
            hint="Its sshd_config has to say `AllowStreamLocalForwarding local` or "
            "`yes`.",
            detail=str(exc),
        ) from exc


def connect_with_sudo(
    connection: Connection, path: str, *, slots: threading.BoundedSemaphore
) -> Stream:
    """Connect as root, for an account that is not. Raises: as `connect`."""
    machine = connection.login.machine
    if not slots.acquire(blocking=False):
        raise ConsoleUnavailable(
            f"Too many screens are open on {machine} for an account that is not root.",
            hint="Close one.",
        )
    with contextlib.ExitStack() as held:
        held.callback(slots.release)
        scope = Scope()
        channel = connection.open(Wake(), scope.stop.is_set)
        held.callback(release, channel)
        copy = command("python3", "-I", "-c", _COPY, path).with_root()
        line = wrap_line(copy, tag_of(scope), sudo=True)
        copied = _Copied(channel)
        try:
            channel.exec_command(for_any_shell(line))  # nosec B601
            greeting = copied.recv(len(_CONNECTED))
        except (paramiko.SSHException, EOFError, OSError):
            greeting = b""
        if greeting != _CONNECTED:
            raise ConsoleUnavailable(
                f"{machine} does not connect to {path} with sudo.",
                hint="The account needs sudo without a password, and python3.",
                detail=_last_words(channel),
            )
        return Stream(copied, done=held.pop_all().close)


class _Copied:
    """The copied bytes of a socket, after the output of the login's start files."""

    def __init__(self, channel: paramiko.Channel) -> None:
        self._found = bytearray()
        self._begun = Begun(self._found.extend)
        self._channel = channel
        self.sendall: Callable[[bytes], None] = channel.sendall
        self.shutdown: Callable[[int], None] = channel.shutdown
        self.close: Callable[[], None] = channel.close

    def recv(self, size: int, /) -> bytes:
        """Return the next bytes, none after the end."""
        while not self._found:
            data = self._channel.recv(_READ_BYTES)
            if not data:
                return b""
            self._begun.feed(data)
        data = bytes(self._found[:size])
        del self._found[:size]
        return data


def _last_words(channel: paramiko.Channel) -> str:
    """Return what a program that has ended wrote on its error output."""
    channel.settimeout(1.0)
    with contextlib.suppress(OSError):
        return channel.recv_stderr(_READ_BYTES).decode(errors="replace")[-2_000:]
    return ""
