"""Wait until a guest can be worked with, or say at which layer it failed.

The probe reads the SSH banner with a short timeout, because an accepted connection
proves nothing; then one login, then the seed's own mark that first boot is over.
Each failed attempt is remembered as the layer that it reached.
"""

import time

from orchestration.errors import (
    AuthenticationRefused,
    CommandTimedOut,
    GuestUnreachable,
    HostKeyMismatch,
    HostUnreachable,
    TestbedError,
)
from orchestration.hosts import guest_address
from orchestration.instructions.base import Task
from orchestration.instructions.prepare import host_key, is_simulated
from orchestration.providers import console
from orchestration.providers.cloud_init import READY_FILE
from orchestration.providers.libvirt import domains
from orchestration.providers.libvirt.domain_facts import DomainStatus
from orchestration.state.model import DomainType, GuestState
from orchestration.transport.base import Transport, command
from orchestration.transport.ssh import SSHTransport, probe_banner

# Boots share the processors, the more so with software emulation.
PER_PEER_S = {DomainType.KVM: 5.0, DomainType.QEMU: 30.0}
# Often: every 0.3 s finds a guest 0.4 s earlier than every 2 s (measured).
PROBE_EVERY_S = 0.2
PROBE_TIMEOUT_S = 2.0
# A lost SYN is sent again after 1 s: a guest that comes up meanwhile would be found
# that much later. A new attempt finds it at once.
CONNECT_TIMEOUT_S = 0.5
_STANDING_STILL = (DomainStatus.PAUSED, DomainStatus.CRASHED, DomainStatus.SUSPENDED)


def deadline_s(task: Task) -> float:
    """Return how long a guest may take that boots together with `peers - 1`."""
    per_peer_s = PER_PEER_S[task.host.state.domain_type]
    return task.boot_deadline_s + per_peer_s * task.peers


def wait_until_reachable(task: Task, guest: GuestState) -> Transport:
    """Return the guest's transport once a login works and its first boot is over.

    Raises: GuestUnreachable naming the first layer that failed, with the end of the
    console; Cancelled.
    """
    transport = task.hosts.guest(task.state, guest, host_key=host_key(task, guest))
    limit_s = deadline_s(task)
    started, reached = time.monotonic(), "it did not answer"
    while True:
        reached = _attempt(task, guest, transport)
        if not reached:
            return transport
        waited = time.monotonic() - started
        if waited > limit_s:
            raise _unreachable(task, guest, reached, limit_s)
        task.progress(int(waited), int(limit_s), unit="s", note=reached)
        if domain_problem := _domain_problem(task, guest):
            raise _unreachable(task, guest, domain_problem, waited)
        task.scope.sleep(PROBE_EVERY_S)


def require_running(task: Task, guest: GuestState) -> None:
    """See that a guest runs that nobody can log in to. Raises: GuestUnreachable."""
    if problem := _domain_problem(task, guest):
        raise _unreachable(task, guest, problem, 0)


def _attempt(task: Task, guest: GuestState, transport: Transport) -> str:
    """Return the layer that was not passed, empty when the guest is ready."""
    try:
        if not is_simulated(task):
            via = task.host.transport
            probe_banner(
                guest_address(guest),
                22,
                PROBE_TIMEOUT_S,
                via=via if isinstance(via, SSHTransport) else None,
                connect_timeout_s=CONNECT_TIMEOUT_S,
            )
        test = command("test", "-e", READY_FILE)
        ready = transport.run(test, scope=task.scope, timeout_s=10, check=False)
    except HostKeyMismatch:
        return "its SSH host key is not the seeded one"
    except AuthenticationRefused:
        return "SSH refuses the login"
    except HostUnreachable as exc:
        return exc.message.removesuffix(".")
    except CommandTimedOut:
        return "SSH lets us in, but it is too busy to run a command"
    return "" if ready.exit_code == 0 else "its first boot is not over"


def _domain_problem(task: Task, guest: GuestState) -> str:
    """Return why waiting is useless, empty while the domain runs."""
    found = domains.find(task.host.libvirt, guest.domain)
    if found is None:
        return "its domain is gone"
    if found.is_active and found.status not in _STANDING_STILL:
        return ""
    reason = f" ({found.reason})" if found.reason else ""
    return f"its domain is {found.status}{reason}"


def _unreachable(
    task: Task, guest: GuestState, layer: str, waited_s: float
) -> GuestUnreachable:
    return GuestUnreachable(
        f"Guest {guest.name} on {guest.host} was not ready within {waited_s:.0f} s: "
        f"{layer}.",
        hint="The end of its console is below. Mend it and start up again: "
        "what is done stays done.",
        detail=_console(task, guest),
        retryable=True,
    )


def _console(task: Task, guest: GuestState) -> str:
    try:
        tail = console.console_tail(
            task.host.transport, guest.console, lines=20, scope=task.scope
        )
    except TestbedError as exc:
        return f"The console cannot be read: {exc.message}"
    return tail or "The console is empty: the guest never printed anything."
