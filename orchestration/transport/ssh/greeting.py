"""Reads a server's banner before anything is sent: "SSH-2.0-…", or why it refuses.

A server that closes a connection with unread data resets it, and its message is lost.
So nothing is sent before the banner, and the bytes read are given back to the socket.
"""

import time

import paramiko

from orchestration.transport.ssh.link import QuickSocket, TunnelSocket

_MAX_BANNER_BYTES = 16 * 1024
# The message of OpenSSH when MaxStartups is reached; since 9.8 the first one, also
# while a penalty of the source is active.
REFUSALS = ("Not allowed at this time", "Exceeded MaxStartups")


class RefusedForNow(paramiko.SSHException):
    """The server refused the connection for now."""


def read_banner(sock: QuickSocket | TunnelSocket, timeout_s: float) -> str:
    """Return the banner; the socket gives it once more to the next reader.

    Servers may send other lines before it. Raises: paramiko.SSHException, OSError.
    """
    deadline = time.monotonic() + timeout_s
    seen = b""
    while len(seen) < _MAX_BANNER_BYTES:
        data = _receive(sock, deadline)
        seen += data
        for line in seen.split(b"\n")[:-1]:
            if line.startswith(b"SSH-"):
                sock.give_back(seen)
                return line.decode(errors="replace").rstrip("\r")
        if not data:
            raise _no_banner(seen)
    raise paramiko.SSHException("no banner: something else than SSH answers")


def _receive(sock: QuickSocket | TunnelSocket, deadline: float) -> bytes:
    left_s = deadline - time.monotonic()
    try:
        if left_s <= 0:
            raise TimeoutError
        sock.settimeout(left_s)
        return sock.recv(4096)
    except TimeoutError as exc:
        raise paramiko.SSHException("no banner in time") from exc


def _no_banner(seen: bytes) -> paramiko.SSHException:
    text = seen.decode(errors="replace").strip()
    if text in REFUSALS:
        return RefusedForNow(text)
    return paramiko.SSHException(f"no banner: the connection was closed. {text}")
