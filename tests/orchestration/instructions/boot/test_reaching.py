"""Waiting for a guest: it names the layer that failed, and gives up when it should.

What the network and the guest answer is the test's choice, and time is a clock's. What
its domain and its console tell meanwhile is in test_waiting_domain.py.
"""

from dataclasses import replace

import pytest

from orchestration.errors import (
    AuthenticationRefused,
    Cancelled,
    CommandTimedOut,
    ForwardingForbidden,
    HostKeyMismatch,
    HostUnreachable,
    TemporarilyRefused,
)
from orchestration.events import TaskProgressed
from orchestration.instructions.boot import reaching
from orchestration.project.host_keys import forget_key, pinned_key
from orchestration.providers.libvirt import domains
from orchestration.transport.ssh import Limits
from tests.fakes import Reply
from tests.orchestration.instructions.boot.awaited_guest import (
    HOST_KEY,
    OTHER_KEY,
    OneGuest,
    Stage,
    guest_says,
)
from tests.orchestration.instructions.rehearsal import Rehearsal

NOLOGIN = "This account is currently not available.\n"


def test_ready_guest_is_not_waited_for(stage: Stage) -> None:
    stage.wait()

    assert stage.probes == 1
    assert stage.clock.now_s == 1000.0


def test_guest_that_comes_up_step_by_step_is_waited_for(stage: Stage) -> None:
    stage.answers = [
        HostUnreachable("a (10.0.0.2:22) cannot be reached over SSH: no route."),
        HostUnreachable(
            "a (10.0.0.2:22) cannot be reached over SSH: no server listens on that port."
        ),
        HostKeyMismatch("other key"),
        AuthenticationRefused("no"),
        None,
    ]
    guest_says(stage, 1, 0)

    stage.wait()

    assert stage.probes == 6
    assert stage.clock.now_s < 1000.0 + 10


def test_reason_of_the_connection_is_named(stage: Stage) -> None:
    stage.probe = HostUnreachable("a (10.0.0.2:22) does not answer.")

    error = stage.failure()

    assert error.message == (
        "Guest a on host-a was not ready within 150 s: a (10.0.0.2:22) does not answer."
    )
    assert error.detail == "Welcome to a"
    assert error.retryable
    assert "SSH server started" in error.hint


@pytest.mark.parametrize(
    ("answer", "layer"),
    [
        (AuthenticationRefused("no"), "SSH refuses the login"),
        (HostKeyMismatch("no"), "its SSH host key is not the one that it reported"),
        (1, "its first boot is not over"),
        (Reply(NOLOGIN, exit_code=1), "account has no shell there"),
        (CommandTimedOut("slow", exit_code=124), "too busy to run a command"),
        (HostUnreachable("The connection to a broke."), "connection to a broke."),
    ],
)
def test_layer_behind_the_connection_is_named(
    stage: Stage, answer: object, layer: str
) -> None:
    guest_says(stage, answer)

    message = stage.failure().message

    assert layer in message
    assert not message.endswith("..")


def test_guest_that_answers_late_is_not_blamed_for_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(_: object, limits: Limits, **__: object) -> None:
        if limits.accept_s < 1:
            raise HostUnreachable("It does not answer.")

    monkeypatch.setattr(reaching, "require_login", slow)

    stage.wait()

    assert stage.clock.now_s > 1000.0 + 150


def test_guest_gives_up_only_after_its_deadline(stage: Stage) -> None:
    stage.probe = HostUnreachable("It does not answer.")
    stage.task = replace(stage.task, peers=4)

    message = stage.failure().message

    assert "within 240 s" in message
    assert 240 < stage.clock.now_s - 1000.0 < 241


def test_user_sees_what_is_waited_for_once_a_second(
    stage: Stage, rehearsal: Rehearsal
) -> None:
    stage.probe = HostUnreachable("It does not answer.")
    rehearsal.events.clear()

    stage.failure()

    seen = [e for e in rehearsal.events if isinstance(e, TaskProgressed)]
    assert [e.done for e in seen] == list(range(150))
    assert {(e.total, e.unit, e.note) for e in seen} == {
        (150, "s", "waits for the guest: It does not answer")
    }


def test_reached_guest_is_no_longer_shown_as_waited_for(
    stage: Stage, rehearsal: Rehearsal
) -> None:
    stage.answers = [HostUnreachable("a cannot be reached: there is no route to it.")]
    guest_says(stage, 0)

    stage.wait()

    seen = [e for e in rehearsal.events if isinstance(e, TaskProgressed)]
    assert (seen[-1].total, seen[-1].note) == (0, "the guest is reachable")


def test_penalty_that_ends_is_waited_out(stage: Stage) -> None:
    said = TemporarilyRefused("a refuses SSH connections.", hint="Wait.")
    ban_s = 200
    stage.clock.on_wait = lambda: setattr(
        stage, "probe", said if stage.clock.now_s < 1000.0 + ban_s else None
    )
    stage.probe = said

    stage.wait()

    assert ban_s <= stage.clock.now_s - 1000.0 < ban_s + 1


def test_penalty_that_does_not_end_is_named_with_its_hint(stage: Stage) -> None:
    stage.probe = TemporarilyRefused("a refuses SSH connections.", hint="Wait.")

    error = stage.failure()

    assert "a refuses SSH connections." in error.message
    assert error.hint == "Wait."


def test_host_that_forbids_forwarding_is_named_at_once(stage: Stage) -> None:
    stage.probe = ForwardingForbidden("host-a forbids forwarding.", hint="Allow it.")

    error = stage.failure()

    assert error.message == (
        "Guest a on host-a cannot be reached: host-a forbids forwarding."
    )
    assert error.hint == "Allow it."
    assert stage.clock.now_s == 1000.0


def test_dead_host_is_not_taken_for_a_slow_guest(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.probe = HostUnreachable("host-a does not answer.")

    def gone(*_: object) -> None:
        raise HostUnreachable("libvirt on host-a does not answer.")

    monkeypatch.setattr(domains, "find", gone)
    with pytest.raises(HostUnreachable, match="libvirt on host-a"):
        stage.wait()


def test_cancel_ends_the_waiting(stage: Stage) -> None:
    stage.probe = HostUnreachable("It does not answer.")
    stage.clock.on_wait = stage.clock.set

    with pytest.raises(Cancelled):
        stage.wait()

    assert stage.probes == 1


def used_keys(stage: Stage) -> list[str]:
    assert isinstance(stage.task.hosts, OneGuest)
    return stage.task.hosts.host_keys


def test_guest_is_not_talked_to_before_it_reported_its_host_key(
    stage: Stage, rehearsal: Rehearsal
) -> None:
    forget_key(rehearsal.project, "a")
    stage.reports("", HOST_KEY[:40], HOST_KEY)

    stage.wait()

    assert stage.probes == 1
    assert used_keys(stage) == [HOST_KEY]
    assert pinned_key(rehearsal.project, "a") == f"{HOST_KEY} a"


def test_guest_that_reports_no_host_key_is_named(
    stage: Stage, rehearsal: Rehearsal
) -> None:
    forget_key(rehearsal.project, "a")

    error = stage.failure()

    assert "it has not reported its SSH host key" in error.message
    assert "virtio_console" in error.hint
    assert stage.probes == 0


def test_key_from_the_network_is_never_pinned(
    stage: Stage, rehearsal: Rehearsal
) -> None:
    stage.reports(HOST_KEY)
    guest_says(stage, HostKeyMismatch("a shows the key of a stranger"))

    stage.failure()

    assert set(used_keys(stage)) == {HOST_KEY}
    assert pinned_key(rehearsal.project, "a") == f"{HOST_KEY} a"


def test_key_that_a_guest_reports_anew_replaces_the_pinned_one(
    stage: Stage, rehearsal: Rehearsal
) -> None:
    stage.reports(OTHER_KEY)
    guest_says(stage, HostKeyMismatch("no"), HostKeyMismatch("no"), 0)

    stage.wait()

    assert used_keys(stage) == [HOST_KEY, HOST_KEY, OTHER_KEY]
    assert pinned_key(rehearsal.project, "a") == f"{OTHER_KEY} a"
