"""Checks that a machine answers, before operations with longer timeouts."""

from orchestration.errors import (
    AuthenticationRefused,
    ForwardingForbidden,
    HostKeyMismatch,
    HostUnreachable,
)
from orchestration.transport.base import Scope, Transport
from orchestration.transport.ssh import Limits, SSHTransport

# A kernel accepts at once however busy it is: a machine that does not is dead or cut
# off. Its SSH server is a process like others and waits for a processor.
HOST = Limits(kept_s=1.0, accept_s=3.0, banner_s=15.0)


def require_login(transport: Transport, limits: Limits, *, scope: Scope) -> None:
    """Check that a machine reached over SSH answers and accepts the login.

    Raises: HostUnreachable and its kinds, Cancelled.
    """
    if isinstance(transport, SSHTransport):
        transport.require_answer(limits, scope=scope)


def forwarding_problem(transport: Transport) -> ForwardingForbidden | None:
    """Return why a host forwards no connections to its guests; None if it does.

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
    """Check that a host answers on the kept connection, else log in.

    This costs a few milliseconds on a kept connection, and detects a dead host after 3
    s instead of after libvirt's and SSH's own deadlines. Raises: HostUnreachable.
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
