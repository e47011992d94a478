"""Whether a testbed host is there at all, asked before anything that waits longer."""

from orchestration.errors import HostUnreachable
from orchestration.state.model import HostState
from orchestration.transport.ssh import probe_banner

# A kernel accepts at once however busy it is: who does not is dead or cut off.
ACCEPT_S = 3.0
# Its SSH server is a process like others and waits for a processor.
BANNER_S = 15.0


def require_answer(host: HostState) -> None:
    """Ask a remote host's SSH port who is there, without logging in.

    Costs a few milliseconds, and a dead host is known after ACCEPT_S instead of after
    libvirt's and SSH's own deadlines. Raises: HostUnreachable.
    """
    if not host.is_remote:
        return
    try:
        probe_banner(host.address, host.port, BANNER_S, connect_timeout_s=ACCEPT_S)
    except HostUnreachable as exc:
        raise HostUnreachable(
            f"Host {host.name} does not answer: {exc.message}",
            hint="Repair the host, its SSH server or its network.",
            detail=exc.detail,
            retryable=True,
        ) from exc
