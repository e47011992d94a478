"""Ask whether an SSH server is there, without logging in.

The readiness probe of guests and hosts. A TCP connection alone proves nothing: user
mode networking accepts before the guest has booted. The step that failed tells apart
what the user has to look at.
"""

import time
from enum import StrEnum

from orchestration.errors import HostUnreachable
from orchestration.transport.ssh.link import QuickSocket, TunnelSocket, connect_tcp
from orchestration.transport.ssh.login import reason_of
from orchestration.transport.ssh.transport import SSHTransport

_MAX_BANNER_BYTES = 16 * 1024


class ProbeStep(StrEnum):
    """The first step that failed."""

    NO_ANSWER = "no answer"
    REFUSED = "refused"
    NO_BANNER = "no banner"


class ProbeFailed(HostUnreachable):
    """Say at which step an SSH server did not answer."""

    def __init__(self, message: str, *, step: ProbeStep, detail: str = "") -> None:
        super().__init__(message, detail=detail, retryable=True)
        self.step = step


def probe_banner(
    address: str,
    port: int,
    timeout_s: float,
    via: SSHTransport | None = None,
    *,
    connect_timeout_s: float | None = None,
) -> str:
    """Return the banner of the SSH server there ("SSH-2.0-…").

    With `via` the connection is made from that machine. `connect_timeout_s` is what
    connecting may take of it. Raises: ProbeFailed, HostUnreachable (`via` itself).
    """
    where = f"{address}:{port}" + (f" from {via.machine}" if via else "")
    deadline = time.monotonic() + timeout_s
    sock = _connect(address, port, connect_timeout_s or timeout_s, via, where)
    try:
        return _read_banner(sock, deadline)
    except (OSError, EOFError) as exc:
        raise ProbeFailed(
            f"{where} accepts connections, but no SSH server answers.",
            step=ProbeStep.NO_BANNER,
            detail=str(exc),
        ) from exc
    finally:
        sock.close()


def _connect(
    address: str, port: int, timeout_s: float, via: SSHTransport | None, where: str
) -> QuickSocket | TunnelSocket:
    try:
        if via is None:
            return connect_tcp(address, port, timeout_s)
        return via.connection.tunnel(address, port, timeout_s)
    except ConnectionRefusedError as exc:
        raise ProbeFailed(
            f"Nobody listens on {where}.", step=ProbeStep.REFUSED
        ) from exc
    except OSError as exc:
        raise ProbeFailed(
            f"{where} does not answer: {reason_of(exc)}.",
            step=ProbeStep.NO_ANSWER,
            detail=str(exc),
        ) from exc


def _read_banner(sock: QuickSocket | TunnelSocket, deadline: float) -> str:
    """Read up to the line that starts with SSH-; servers may send others before."""
    seen = b""
    while len(seen) < _MAX_BANNER_BYTES:
        left = deadline - time.monotonic()
        if left <= 0:
            raise TimeoutError("no banner in time")
        sock.settimeout(left)
        data = sock.recv(4096)
        if not data:
            raise EOFError("the connection was closed")
        seen += data
        for line in seen.split(b"\n")[:-1]:
            if line.startswith(b"SSH-"):
                return line.decode(errors="replace").rstrip("\r")
    raise EOFError("something else than an SSH server answers")
