"""Logs in to one SSH server: key exchange, pinned host key, public key.

Translates paramiko's errors into ours. Key exchanges over finite fields cost 60-117 ms
against 11 for elliptic curves, so they are not offered.
"""

import base64
import binascii
import errno
import hashlib
import logging
import os
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import paramiko
from paramiko.pkey import UnknownKeyType
from paramiko.ssh_exception import IncompatiblePeer

from orchestration.errors import (
    AuthenticationRefused,
    ForwardingForbidden,
    HostKeyMismatch,
    HostUnreachable,
    ShellUnusable,
    TemporarilyRefused,
)
from orchestration.transport.ssh.greeting import RefusedForNow, read_banner
from orchestration.transport.ssh.limits import ProtocolBroken
from orchestration.transport.ssh.link import (
    ForwardingRefused,
    Link,
    QuickSocket,
    TunnelSocket,
)

# paramiko logs whole tracebacks for errors that are raised and translated here anyway.
logging.getLogger("paramiko").setLevel(logging.CRITICAL)

KEEPALIVE_S = 5
UNKNOWN_NAME = "its name is not known"
_KEX = ("curve25519-sha256@libssh.org", "ecdh-sha2-nistp256", "ecdh-sha2-nistp384")
_CIPHERS = ("aes128-gcm@openssh.com", "aes128-ctr", "aes256-ctr")


class Limits(NamedTuple):
    """Time limits for a machine: to answer on a kept connection, to accept a new
    one, to send its banner on it."""

    kept_s: float
    accept_s: float
    banner_s: float


@dataclass(frozen=True, slots=True)
class Login:
    """The address of a machine, its pinned host key, and the account and key for it.

    `via` is the machine that connections are made from, when it is not main.
    """

    machine: str
    address: str
    port: int
    user: str
    identity_file: Path
    host_key: str
    connect_timeout_s: float
    via: str = ""

    @property
    def place(self) -> str:
        """Its address and port, as seen from where connections are made."""
        way = f" from {self.via}" if self.via else ""
        return f"{self.address}:{self.port}{way}"


class Keys(NamedTuple):
    """The pinned host key's type and bytes, and the private key."""

    kind: str
    pinned: bytes
    identity: paramiko.PKey


def read_keys(login: Login) -> Keys:
    """Read the keys of a login, before anything is connected.

    Raises: HostKeyMismatch, AuthenticationRefused.
    """
    return Keys(*parse_host_key(login), load_identity(login))


def dial(
    login: Login, keys: Keys, sock: QuickSocket | TunnelSocket, banner_s: float
) -> Link:
    """Log in over an open socket, whose server has `banner_s` for its banner.

    Raises: HostKeyMismatch, AuthenticationRefused, TemporarilyRefused, HostUnreachable.
    """
    link = Link(sock)
    try:
        read_banner(sock, banner_s)
        _start(link, login, keys.kind)
        _check_host_key(link, login, keys.pinned)
        link.auth_publickey(login.user, keys.identity)
        link.set_keepalive(KEEPALIVE_S)
    except BaseException as exc:
        # A link whose thread has not started or has ended does not close its socket.
        link.close()
        sock.close()
        known = translated(login, exc)
        if known is None:
            raise
        raise known from exc
    return link


def translated(login: Login, error: BaseException) -> HostUnreachable | None:
    """Return the error of ours for one of paramiko's or of a socket, or None."""
    if isinstance(error, paramiko.AuthenticationException):
        return AuthenticationRefused(
            f"{login.machine} does not let {login.user} in with the key "
            f"{login.identity_file.name}.",
            hint="Add the public key to the authorized keys of that user.",
            detail=str(error),
        )
    if isinstance(error, RefusedForNow):
        return _refused_for_now(login, str(error))
    if isinstance(error, (paramiko.SSHException, EOFError, OSError)):
        return unreachable(login, error)
    return None


def _forbidden(machine: str, error: ForwardingRefused) -> ForwardingForbidden:
    return ForwardingForbidden(
        f"The SSH server of {machine} forbids forwarding, by which its guests are "
        f"reached ({error}).",
        hint="Set `AllowTcpForwarding local` in its sshd_config, without "
        "`DisableForwarding` and `PermitOpen`; and no `restrict` or "
        "`no-port-forwarding` before main's key.",
        detail=f"The SSH server of {machine} said: {error}",
    )


def _broken(login: Login, error: ProtocolBroken) -> HostUnreachable:
    return HostUnreachable(
        f"The SSH server of {login.machine} ({login.place}) broke the SSH protocol: "
        f"{error}. The connection was closed.",
        hint="OpenSSH and dropbear never do that: see what runs as SSH server there, "
        "or recreate the machine.",
        detail=str(error),
    )


def _refused_for_now(login: Login, words: str) -> TemporarilyRefused:
    return TemporarilyRefused(
        f"{login.machine} ({login.place}) accepts no SSH connection from this address "
        "for now.",
        hint="Wait, usually 15 s. The log of its SSH server says why: a penalty for "
        "connections that ended before a login (PerSourcePenaltyExemptList in "
        "sshd_config exempts an address), or MaxStartups.",
        detail=f"Its SSH server said: {words}",
        retryable=True,
    )


def shell_unusable(login: Login, printed: str) -> ShellUnusable:
    """Build the error for a login that ended before our command began."""
    last = printed.splitlines()[-1:]
    words = f": it printed `{last[0][:200]}`" if last else ""
    return ShellUnusable(
        f"The login shell of {login.user} on {login.machine} does not run commands"
        f"{words}.",
        hint=f"Give {login.user} a login shell like /bin/bash there (`usermod -s`), and "
        "check that its start files do not end it.",
        detail=printed,
    )


def unreachable(login: Login, error: Exception) -> HostUnreachable:
    """Build the error for a machine that cannot be reached."""
    if isinstance(error, ForwardingRefused):
        return _forbidden(login.via, error)
    if isinstance(error, ProtocolBroken):
        return _broken(login, error)
    return HostUnreachable(
        f"{login.machine} ({login.place}) cannot be reached over SSH: "
        f"{reason_of(error)}.",
        hint="Is the machine up, and does its SSH server listen on that port?",
        detail=str(error),
        retryable=True,
    )


def reason_of(error: Exception) -> str:
    """Describe an error of a socket or of paramiko in plain words."""
    if isinstance(error, socket.gaierror):
        return UNKNOWN_NAME
    if isinstance(error, TimeoutError):
        return "no answer in time"
    if isinstance(error, ConnectionRefusedError):
        return "no server listens on that port"
    if isinstance(error, paramiko.ChannelException):
        return "it accepts no further session"
    if isinstance(error, OSError) and error.errno in (
        errno.EHOSTUNREACH,
        errno.ENETUNREACH,
    ):
        return "there is no route to it"
    if "banner" in str(error):
        return "it accepts connections, but no SSH server answers"
    if isinstance(error, (EOFError, ConnectionError)):
        return "the connection was closed"
    if isinstance(error, OSError) and error.errno:
        return os.strerror(error.errno).lower()
    return str(error).rstrip(".") or "the connection was lost"


def parse_host_key(login: Login) -> tuple[str, bytes]:
    """Split a pinned key line into its type and its bytes. Raises: HostKeyMismatch."""
    words = login.host_key.split()
    try:
        return words[0], base64.b64decode(words[1], validate=True)
    except (IndexError, binascii.Error) as exc:
        raise HostKeyMismatch(
            f"The pinned host key of {login.machine} cannot be read.",
            hint="It is one line: ssh-ed25519 AAAA…",
        ) from exc


def load_identity(login: Login) -> paramiko.PKey:
    """Read the private key. Raises: AuthenticationRefused."""
    try:
        return paramiko.PKey.from_path(login.identity_file)
    except (OSError, ValueError, paramiko.SSHException, UnknownKeyType) as exc:
        raise AuthenticationRefused(
            f"The key {login.identity_file.name} for {login.machine} cannot be read.",
            detail=str(exc),
        ) from exc


def fingerprint(blob: bytes) -> str:
    """Return a key's fingerprint as ssh-keygen prints it."""
    digest = base64.b64encode(hashlib.sha256(blob).digest()).decode()
    return "SHA256:" + digest.rstrip("=")


def exchange_keys(
    link: paramiko.Transport, login: Login, key_types: tuple[str, ...]
) -> None:
    """Begin the protocol; the server proves a key of the first type that it has.

    Raises: paramiko.SSHException, ValueError (a type is not known), EOFError, OSError.
    """
    link.banner_timeout = login.connect_timeout_s
    link.handshake_timeout = login.connect_timeout_s
    link.auth_timeout = login.connect_timeout_s
    options = link.get_security_options()
    options.kex = _KEX
    options.ciphers = _CIPHERS
    options.key_types = key_types
    link.start_client(timeout=2 * login.connect_timeout_s)


def _start(link: paramiko.Transport, login: Login, kind: str) -> None:
    try:
        exchange_keys(link, login, _signatures(kind))
    except (IncompatiblePeer, ValueError) as exc:
        if "key" not in str(exc) or "kex" in str(exc):
            raise
        raise _mismatch(login, f"no {kind} key") from exc


def _signatures(kind: str) -> tuple[str, ...]:
    return ("rsa-sha2-512", "rsa-sha2-256") if kind == "ssh-rsa" else (kind,)


def _check_host_key(link: paramiko.Transport, login: Login, pinned: bytes) -> None:
    seen = link.get_remote_server_key().asbytes()
    if seen != pinned:
        raise _mismatch(login, fingerprint(seen))


def _mismatch(login: Login, seen: str) -> HostKeyMismatch:
    _, pinned = parse_host_key(login)
    return HostKeyMismatch(
        f"{login.machine} answered with another host key than the pinned one.",
        hint="If the machine was reinstalled, pin its new key. Otherwise another "
        "machine answers in its place: do not connect.",
        detail=f"expected {fingerprint(pinned)}\nseen {seen}",
    )
