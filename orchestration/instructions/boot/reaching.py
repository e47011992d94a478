"""Waits until a guest can be worked with, or reports the layer at which it failed.

Before the guest has reported its host key, an attempt only reads the report. Then each
uses the kept connection, or logs in on a new one with short timeouts: an accepted
connection proves nothing, and sshd counts one that closes before its login against the
client. The attempt then looks for the seed's mark that the first boot is over. The
diagnosis starts from the last failed attempt and the layer that it reached.
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
from orchestration.instructions.boot import admission
from orchestration.instructions.boot.deadline import BootDeadline
from orchestration.instructions.boot.diagnosis.diagnose import diagnose
from orchestration.instructions.boot.diagnosis.evidence import (
    Diagnosis,
    Layer,
    Symptom,
)
from orchestration.instructions.boot.diagnosis.machine import domain_problem
from orchestration.instructions.boot.host_keys import known_key, learn_key
from orchestration.instructions.task import Task
from orchestration.project.host_keys import pinned_key
from orchestration.providers.guest.cloud_init import READY_TEST, instance_id
from orchestration.providers.libvirt.lifecycle import Watch, watch
from orchestration.state.model import GuestState
from orchestration.transport.base import Command, Completed, Transport, command
from orchestration.transport.reachable import require_login
from orchestration.transport.ssh import Limits

# The message of nologin, the shell of a system's own accounts.
NO_SHELL = "This account is currently not available"
NOT_REPORTED = Symptom(
    Layer.SSH,
    "it has not reported its SSH host key",
    hint="See in its console whether its cloud-init ran, and whether it has "
    "ssh-keygen and the driver virtio_console.",
)
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
    test = ready or command("sh", "-c", READY_TEST, "ready", instance_id(guest))
    try:
        with (
            admission.until_booted(task, guest),
            watch(task.host.libvirt, task.domain(guest)) as news,
        ):
            return _wait(task, guest, news=news, test=test)
    except ForwardingForbidden as exc:
        raise _forbidden(guest, exc) from exc


def try_to_reach(task: Task, guest: GuestState) -> Transport | Diagnosis | None:
    """Return the way into a guest that is ready now, or the first layer that failed.

    It waits for no boot. A guest without an account for us has no way in: None says that
    it runs. Raises: GuestUnreachable (its host forbids the way); Cancelled.
    """
    if problem := domain_problem(task, guest):
        return _diagnosis(task, guest, Symptom(Layer.DOMAIN, problem))
    if not guest.seed:
        return None
    test = command("sh", "-c", READY_TEST, "ready", instance_id(guest))
    try:
        answer = _attempt(task, guest, test, limits=_LAST)
    except ForwardingForbidden as exc:
        raise _forbidden(guest, exc) from exc
    return _diagnosis(task, guest, answer) if isinstance(answer, Symptom) else answer


def _wait(task: Task, guest: GuestState, *, news: Watch, test: Command) -> Transport:
    deadline = BootDeadline(task, guest)
    answer = _attempt(task, guest, test)
    if not isinstance(answer, Symptom):
        return answer
    while isinstance(answer, Symptom):
        if answer.is_temporary:
            deadline.note_sign_of_life()
        if deadline.is_over():
            answer = _attempt(task, guest, test, limits=_LAST)
            if not isinstance(answer, Symptom):
                break
            raise _unreachable(task, guest, answer, deadline.allowed_s)
        waited_s = deadline.waited_s
        note = f"waits for the guest: {answer.words}"
        task.progress(int(waited_s), int(deadline.limit_s), unit="s", note=note)
        if news.is_due() and (problem := domain_problem(task, guest)):
            raise _unreachable(task, guest, Symptom(Layer.DOMAIN, problem), waited_s)
        task.scope.sleep(PROBE_EVERY_S)
        answer = _attempt(task, guest, test)
    task.progress(0, 0, unit="", note="the guest is reachable")
    return answer


def require_running(task: Task, guest: GuestState) -> None:
    """Check that a guest without any login runs. Raises: GuestUnreachable."""
    if problem := domain_problem(task, guest):
        raise _unreachable(task, guest, Symptom(Layer.DOMAIN, problem), 0)


def _attempt(
    task: Task, guest: GuestState, test: Command, *, limits: _Limits = _QUICK
) -> Symptom | Transport:
    """Return the way into a ready guest, or the layer that was not passed."""
    try:
        transport = _way_in(task, guest, known_key(task, guest))
        if transport is None:
            return NOT_REPORTED
        require_login(transport, limits.login, scope=task.scope)
        ready = transport.run(
            test, scope=task.scope, timeout_s=limits.test_s, check=False
        )
    except HostKeyMismatch as exc:
        return _mismatch(task, guest, exc)
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
    return _not_ready(ready) or transport


def _way_in(task: Task, guest: GuestState, key: str) -> Transport | None:
    """Return the way into a guest; None while its host key is unknown."""
    if not key and task.host.state.boots_guests:
        return None
    return task.hosts.guest(task.state, guest, host_key=key)


def _mismatch(task: Task, guest: GuestState, error: HostKeyMismatch) -> Symptom:
    """Return the symptom; a key that the guest reported since is pinned instead."""
    try:
        if learn_key(task, guest):
            return Symptom(Layer.SSH, "it has a new SSH host key")
    except HostUnreachable as exc:
        return Symptom(Layer.SSH, exc.message.removesuffix("."), exc.detail)
    words = "its SSH host key is not the one that it reported"
    return Symptom(Layer.HOST_KEY, words, error.detail)


def _not_ready(ready: Completed) -> Symptom | None:
    if ready.exit_code == 0:
        return None
    if NO_SHELL in ready.stdout:
        words = "the testbed's account has no shell there: it is one of the system"
        return Symptom(Layer.LOGIN, words, ready.stdout)
    return Symptom(Layer.FIRST_BOOT, "its first boot is not over")


def _unreachable(
    task: Task, guest: GuestState, symptom: Symptom, waited_s: float
) -> GuestUnreachable:
    found = _diagnosis(task, guest, symptom)
    return GuestUnreachable(
        f"Guest {guest.name} on {guest.host} was not ready within {waited_s:.0f} s: "
        f"{found.words}.",
        hint=found.hint,
        detail=found.evidence,
        retryable=True,
    )


def _diagnosis(task: Task, guest: GuestState, symptom: Symptom) -> Diagnosis:
    way_in = _way_in(task, guest, pinned_key(task.project, guest.name))
    return diagnose(task, guest, symptom, way_in)


def _forbidden(guest: GuestState, error: ForwardingForbidden) -> GuestUnreachable:
    return GuestUnreachable(
        f"Guest {guest.name} on {guest.host} cannot be reached: {error.message}",
        hint=error.hint,
        detail=error.detail,
    )
