"""Waits until a guest can be worked with, or reports the layer at which it failed.

Each attempt uses the kept connection, or logs in on a new one with short timeouts:
an accepted connection proves nothing, and sshd counts one that closes before its login
against the client. The attempt then looks for the seed's mark that the first boot is
over. The diagnosis starts from the last failed attempt and the layer that it reached.
"""

from typing import NamedTuple

from orchestration.errors import (
    AuthenticationRefused,
    CommandTimedOut,
    ForwardingForbidden,
    GuestUnreachable,
    HostKeyMismatch,
    HostUnreachable,
    ShellUnusable,
    TemporarilyRefused,
)
from orchestration.instructions.artefacts import host_key
from orchestration.instructions.boot import admission
from orchestration.instructions.boot.deadline import BootDeadline
from orchestration.instructions.boot.diagnosis.diagnose import diagnose
from orchestration.instructions.boot.diagnosis.evidence import Layer, Symptom
from orchestration.instructions.boot.diagnosis.machine import domain_problem
from orchestration.instructions.task import Task
from orchestration.providers.guest.cloud_init import READY_TEST, instance_id
from orchestration.providers.libvirt.lifecycle import Watch, watch
from orchestration.state.model import GuestState
from orchestration.transport.base import Command, Transport, command
from orchestration.transport.reachable import require_login
from orchestration.transport.ssh import Limits

# The message of nologin, the shell of a system's own accounts.
NO_SHELL = "This account is currently not available"
# An attempt every 0.3 s finds a guest 0.4 s earlier than one every 2 s (measured).
PROBE_EVERY_S = 0.2


class _Limits(NamedTuple):
    """The time limits of one attempt: to answer, and to run the test."""

    login: Limits
    test_s: float


# A lost SYN is sent again after 1 s, and a guest that comes up meanwhile is found that
# much later. A new attempt finds it at once.
_QUICK = _Limits(Limits(kept_s=2.0, accept_s=0.5, banner_s=2.0), 10.0)
# The last attempt's result is shown to the user, so a slow answer must not fail it.
_LAST = _Limits(Limits(kept_s=15.0, accept_s=5.0, banner_s=15.0), 60.0)


def wait_until_reachable(
    task: Task, guest: GuestState, *, ready: Command | None = None
) -> Transport:
    """Return the guest's transport once a login works and its first boot is over.

    `ready` succeeds in a guest whose first boot is over, also one with older settings
    where those are to be changed. Raises: GuestUnreachable naming the first layer
    that failed, with the end of the console; Cancelled.
    """
    transport = task.hosts.guest(task.state, guest, host_key=host_key(task, guest))
    test = ready or command("sh", "-c", READY_TEST, "ready", instance_id(guest))
    try:
        with (
            admission.until_booted(task, guest),
            watch(task.host.libvirt, task.domain(guest)) as news,
        ):
            _wait(task, guest, transport, news=news, test=test)
    except ForwardingForbidden as exc:
        raise GuestUnreachable(
            f"Guest {guest.name} on {guest.host} cannot be reached: {exc.message}",
            hint=exc.hint,
            detail=exc.detail,
        ) from exc
    return transport


def _wait(
    task: Task, guest: GuestState, transport: Transport, *, news: Watch, test: Command
) -> None:
    deadline = BootDeadline(task, guest)
    symptom = _attempt(task, transport, test)
    if symptom is None:
        return
    while symptom is not None:
        if symptom.is_temporary:
            deadline.note_sign_of_life()
        if deadline.is_over():
            symptom = _attempt(task, transport, test, limits=_LAST)
            if symptom is None:
                return
            raise _unreachable(task, guest, symptom, deadline.allowed_s, transport)
        waited_s = deadline.waited_s
        note = f"waits for the guest: {symptom.words}"
        task.progress(int(waited_s), int(deadline.limit_s), unit="s", note=note)
        if news.is_due() and (problem := domain_problem(task, guest)):
            raise _unreachable(task, guest, Symptom(Layer.DOMAIN, problem), waited_s)
        task.scope.sleep(PROBE_EVERY_S)
        symptom = _attempt(task, transport, test)
    task.progress(0, 0, unit="", note="the guest is reachable")


def require_running(task: Task, guest: GuestState) -> None:
    """Check that a guest without any login runs. Raises: GuestUnreachable."""
    if problem := domain_problem(task, guest):
        raise _unreachable(task, guest, Symptom(Layer.DOMAIN, problem), 0)


def _attempt(
    task: Task, transport: Transport, test: Command, *, limits: _Limits = _QUICK
) -> Symptom | None:
    """Return the layer that was not passed, None when the guest is ready."""
    try:
        require_login(transport, limits.login, scope=task.scope)
        ready = transport.run(
            test, scope=task.scope, timeout_s=limits.test_s, check=False
        )
    except HostKeyMismatch as exc:
        words = "its SSH host key is not the seeded one"
        return Symptom(Layer.HOST_KEY, words, exc.detail)
    except AuthenticationRefused as exc:
        return Symptom(Layer.LOGIN, "SSH refuses the login", exc.detail)
    except ShellUnusable as exc:
        words = exc.message.removesuffix(".")
        return Symptom(Layer.LOGIN, words, exc.detail, exc.hint)
    except ForwardingForbidden:
        raise
    except TemporarilyRefused as exc:
        words = exc.message.removesuffix(".")
        return Symptom(Layer.SSH, words, exc.detail, exc.hint, is_temporary=True)
    except HostUnreachable as exc:
        return Symptom(Layer.SSH, exc.message.removesuffix("."), exc.detail)
    except CommandTimedOut as exc:
        words = "SSH lets us in, but it is too busy to run a command"
        return Symptom(Layer.FIRST_BOOT, words, exc.detail)
    if ready.exit_code == 0:
        return None
    if NO_SHELL in ready.stdout:
        words = "the testbed's account has no shell there: it is one of the system"
        return Symptom(Layer.LOGIN, words, ready.stdout)
    return Symptom(Layer.FIRST_BOOT, "its first boot is not over")


def _unreachable(
    task: Task,
    guest: GuestState,
    symptom: Symptom,
    waited_s: float,
    transport: Transport | None = None,
) -> GuestUnreachable:
    found = diagnose(task, guest, symptom, transport)
    return GuestUnreachable(
        f"Guest {guest.name} on {guest.host} was not ready within {waited_s:.0f} s: "
        f"{found.words}.",
        hint=found.hint,
        detail=found.evidence,
        retryable=True,
    )
