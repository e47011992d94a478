"""Whether a machine is there at all, asked before anything that waits longer."""

from orchestration.errors import (
    AuthenticationRefused,
    ForwardingForbidden,
    HostKeyMismatch,
    HostUnreachable,
)
from orchestration.transport.base import Scope, Transport
from orchestration.transport.ssh import Limits, SSHTransport

# A kernel accepts at once however busy it is: who does not is dead or cut off. Its SSH
# server is a process like others and waits for a processor.
HOST = Limits(kept_s=1.0, accept_s=3.0, banner_s=15.0)


def require_login(transport: Transport, limits: Limits, *, scope: Scope) -> None:
    """See that a machine that is reached over SSH answers and lets us in.

    Raises: HostUnreachable and its kinds, Cancelled.
    """
    if isinstance(transport, SSHTransport):
        transport.require_answer(limits, scope=scope)


def forwarding_problem(transport: Transport) -> ForwardingForbidden | None:
    """Return why a host lets nobody through to its guests, where it is asked over SSH.

    Raises: HostUnreachable.
    """
    if not isinstance(transport, SSHTransport):
        return None
    try:
        transport.connection.require_forwarding(HOST.banner_s)
    except ForwardingForbidden as exc:
        return exc
    return None


def require_answer(transport: Transport) -> None:
    """See that a host is there: ask on the kept connection, else log in.

    Costs a few milliseconds on a kept connection, and a dead host is known after 3 s
    instead of after libvirt's and SSH's own deadlines. Raises: HostUnreachable.
    """
    try:
        require_login(transport, HOST, scope=Scope())
    except (AuthenticationRefused, HostKeyMismatch):
        raise
    except HostUnreachable as exc:
        raise type(exc)(
            f"Host {transport.machine} does not answer: {exc.message}",
            hint=exc.hint or "Repair the host, its SSH server or its network.",
            detail=exc.detail,
            retryable=True,
        ) from exc
