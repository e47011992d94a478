"""Asks an SSH server for its host key, before a person has confirmed it.

Nothing but the key exchange happens, and the connection is closed before a login: no
account and no key of ours is shown to a machine that may be another one. OpenSSH 9.8 and
later counts such an end against the source, so the ledger of failures has it.
"""

import time
from dataclasses import dataclass
from pathlib import Path

import paramiko

from orchestration.errors import AuthenticationRefused, HostKeyMismatch
from orchestration.transport.ssh.failures import (
    AUTHENTICATION_PAUSE_S,
    PAUSE_S,
    Failures,
)
from orchestration.transport.ssh.greeting import read_banner
from orchestration.transport.ssh.link import Link, connect_tcp
from orchestration.transport.ssh.login import (
    Limits,
    Login,
    exchange_keys,
    fingerprint,
    load_identity,
    parse_host_key,
    translated,
    unreachable,
)

_LOOK_S = 0.1
# People are shown the first of these that the server has.
_TYPES = (
    "ssh-ed25519",
    "ecdsa-sha2-nistp256",
    "ecdsa-sha2-nistp384",
    "ecdsa-sha2-nistp521",
    "rsa-sha2-512",
    "rsa-sha2-256",
)


@dataclass(frozen=True, slots=True)
class HostKey:
    """A server's public key: its line, as it is pinned, and its fingerprint."""

    line: str
    fingerprint: str

    @property
    def kind(self) -> str:
        """Its type: `ssh-ed25519`."""
        return self.line.split()[0]


def host_key_of(line: str) -> HostKey:
    """Return the key of a pinned line. Raises: HostKeyMismatch (it is malformed)."""
    kind, blob = parse_host_key(_login_to("the host", "", 22, 1.0, host_key=line))
    return HostKey(f"{kind} {line.split()[1]}", fingerprint(blob))


def ask_host_key(
    machine: str, address: str, port: int, *, limits: Limits, runtime_dir: Path
) -> HostKey:
    """Connect to a server and return the key that it proves to have.

    `runtime_dir` holds the ledger of failures. Raises: HostUnreachable and its kinds.
    """
    login = _login_to(machine, address, port, limits.banner_s)
    failures = Failures(runtime_dir / "ssh-failures.json")
    _claim(failures, login.place)
    tried_at = time.time()
    try:
        sock = connect_tcp(address, port, limits.accept_s)
    except (OSError, UnicodeError) as exc:  # a name that no DNS name can be
        failures.release(login.place)
        raise unreachable(login, exc) from exc
    link = Link(sock)
    try:
        read_banner(sock, limits.banner_s)
        exchange_keys(link, login, _TYPES)
        return _proven(link)
    except (paramiko.SSHException, EOFError, OSError) as exc:
        error = translated(login, exc) or unreachable(login, exc)
        failures.note(login.place, error, tried_at=tried_at, pause_s=PAUSE_S)
        raise error from exc
    finally:
        link.close()
        sock.close()


def public_line(identity_file: Path) -> str:
    """Return the public half of a private key as one line of authorized keys.

    Raises: AuthenticationRefused (it cannot be read).
    """
    login = _login_to("the host", "", 22, 1.0, identity_file=identity_file)
    try:
        key = load_identity(login)
    except AuthenticationRefused as exc:
        raise AuthenticationRefused(
            f"The key {identity_file} cannot be read.", hint=exc.hint, detail=exc.detail
        ) from exc
    return f"{key.get_name()} {key.get_base64()} testbed-main"


def _claim(failures: Failures, place: str) -> None:
    """Reserve the attempt, after the pause of a refused login: no key is its reason."""
    until = time.monotonic() + AUTHENTICATION_PAUSE_S
    while True:
        try:
            failures.claim(place)
        except (AuthenticationRefused, HostKeyMismatch):
            if time.monotonic() > until:
                raise
            time.sleep(_LOOK_S)
        else:
            return


def _proven(link: Link) -> HostKey:
    key = link.get_remote_server_key()
    line = f"{key.get_name()} {key.get_base64()}"
    return HostKey(line, fingerprint(key.asbytes()))


def _login_to(
    machine: str,
    address: str,
    port: int,
    timeout_s: float,
    *,
    host_key: str = "",
    identity_file: Path = Path(),
) -> Login:
    return Login(machine, address, port, "", identity_file, host_key, timeout_s)
