"""Waiting for a guest: it names the layer that failed, and gives up when it should."""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from orchestration.errors import (
    AuthenticationRefused,
    Cancelled,
    CommandTimedOut,
    GuestUnreachable,
    HostKeyMismatch,
    HostUnreachable,
    LibvirtFailed,
    TestbedError,
)
from orchestration.events import TaskProgressed
from orchestration.hosts import Host, Hosts
from orchestration.instructions import patience, waiting
from orchestration.instructions.base import Task
from orchestration.instructions.prepare import generate_artefacts
from orchestration.instructions.waiting import wait_until_reachable
from orchestration.providers.libvirt import domains
from orchestration.state.model import GuestState, HostKind, State
from orchestration.transport.base import Scope
from orchestration.transport.ssh.probe import ProbeFailed, ProbeStep
from tests.fakes import FakeTransport, Reply
from tests.orchestration.instructions import well
from tests.orchestration.instructions.rehearsal import Rehearsal

READY = re.compile(r"sh -c .* ready demo-a-[0-9a-f]{8}", re.DOTALL)
LOOK = re.compile(r"sh -c (?!.* ready demo-a-).*", re.DOTALL)
TAIL = "tail -c 65536 /console"


class Clock(threading.Event):
    """Time that passes only by sleeping: the scope's flag and the clock in one."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 1000.0
        self.on_wait: Callable[[], None] = lambda: None

    def monotonic(self) -> float:
        return self.now_s

    def wait(self, timeout: float | None = None) -> bool:
        self.now_s += timeout or 0.0
        self.on_wait()
        return self.is_set()


@dataclass
class Stage:
    """A real host as the code sees it; `probe` raises what the network would."""

    task: Task
    guest: GuestState
    clock: Clock
    machine: FakeTransport
    probe: TestbedError | None = None
    probes: int = 0
    answers: list[TestbedError | None] = field(default_factory=list)

    def look(self, *_: object, **__: object) -> str:
        self.probes += 1
        error = self.answers.pop(0) if self.answers else self.probe
        if error is not None:
            raise error
        return "SSH-2.0-dropbear"

    def wait(self) -> None:
        wait_until_reachable(self.task, self.guest)

    def failure(self) -> GuestUnreachable:
        with pytest.raises(GuestUnreachable) as caught:
            self.wait()
        return caught.value


class OneGuest(Hosts):
    """Hosts that lead to one fake guest."""

    def __init__(self, folder: Path, transport: FakeTransport) -> None:
        super().__init__(folder)
        self.transport = transport

    def guest(self, state: State, guest: GuestState, *, host_key: str) -> FakeTransport:
        assert host_key.startswith("ssh-ed25519 ")
        return self.transport


@pytest.fixture
def stage(
    rehearsal: Rehearsal,
    make_task: Callable[..., Task],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Stage:
    """Guest `a` runs, its network is `probe`'s, its answers a script's."""
    rehearsal.up()
    task, clock = make_task("a"), Clock()
    monkeypatch.setattr(patience.time, "monotonic", clock.monotonic)
    guest = task.state.guest("a").model_copy(update={"console": "/console"})
    said = well.answers(guest, task.state.network.management[0])
    console = FakeTransport("host-a", {**said, TAIL: "Welcome to a\n"}.items())
    real = task.host.state.model_copy(update={"kind": HostKind.REAL})
    task = replace(
        task,
        host=Host(real, console, task.host.libvirt),
        hosts=OneGuest(tmp_path / "runtime", FakeTransport("a", [(READY, 0)])),
        scope=Scope("demo.r1.b1.t0", stop=clock),
    )
    stage = Stage(task, guest, clock, console)
    monkeypatch.setattr(waiting, "probe_banner", stage.look)
    # The test driver's guests always work.
    monkeypatch.setattr(patience, "BUSY_SHARE", float("inf"))
    return stage


def guest_says(stage: Stage, *answers: object) -> None:
    hosts = stage.task.hosts
    assert isinstance(hosts, OneGuest)
    said = [(READY, answer) for answer in answers]
    hosts.transport = FakeTransport("a", [*said, (LOOK, "")])


def test_ready_guest_is_not_waited_for(stage: Stage) -> None:
    stage.wait()

    assert stage.probes == 1
    assert stage.clock.now_s == 1000.0


def test_guest_that_comes_up_step_by_step_is_waited_for(stage: Stage) -> None:
    stage.answers = [
        ProbeFailed("10.0.0.2:22 does not answer.", step=ProbeStep.NO_ANSWER),
        ProbeFailed("Nobody listens on 10.0.0.2:22.", step=ProbeStep.REFUSED),
        None,
        None,
        None,
    ]
    guest_says(stage, HostKeyMismatch("other key"), AuthenticationRefused("no"), 1, 0)

    stage.wait()

    assert stage.probes == 6
    assert stage.clock.now_s < 1000.0 + 10


@pytest.mark.parametrize(
    ("problem", "layer"),
    [
        (
            ProbeFailed("10.0.0.2:22 does not answer.", step=ProbeStep.NO_ANSWER),
            "10.0.0.2:22 does not answer",
        ),
        (
            ProbeFailed("Nobody listens on 10.0.0.2:22.", step=ProbeStep.REFUSED),
            "Nobody listens on 10.0.0.2:22",
        ),
        (
            ProbeFailed("no SSH server answers.", step=ProbeStep.NO_BANNER),
            "no SSH server answers",
        ),
    ],
    ids=lambda value: getattr(value, "step", ""),
)
def test_step_of_the_probe_is_named(
    stage: Stage, problem: ProbeFailed, layer: str
) -> None:
    stage.probe = problem

    error = stage.failure()

    assert error.message == f"Guest a on host-a was not ready within 150 s: {layer}."
    assert error.detail == "Welcome to a"
    assert error.retryable
    assert "SSH server started" in error.hint


@pytest.mark.parametrize(
    ("answer", "layer"),
    [
        (AuthenticationRefused("no"), "SSH refuses the login"),
        (HostKeyMismatch("no"), "its SSH host key is not the seeded one"),
        (1, "its first boot is not over"),
        (CommandTimedOut("slow", exit_code=124), "too busy to run a command"),
        (HostUnreachable("The connection to a broke."), "connection to a broke."),
    ],
)
def test_layer_behind_the_banner_is_named(
    stage: Stage, answer: object, layer: str
) -> None:
    guest_says(stage, answer)

    message = stage.failure().message

    assert layer in message
    assert not message.endswith("..")


def test_guest_that_answers_late_is_not_blamed_for_it(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slow(*words: object, connect_timeout_s: float, **_: object) -> str:
        if connect_timeout_s < 1:
            raise ProbeFailed("It does not answer.", step=ProbeStep.NO_ANSWER)
        return "SSH-2.0-dropbear"

    monkeypatch.setattr(waiting, "probe_banner", slow)

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
        (150, "s", "It does not answer")
    }


@pytest.mark.parametrize(
    ("happens", "words"),
    [("undefine", "its domain is gone"), ("stop", "its domain is shut off")],
)
def test_waiting_ends_at_once_when_the_domain_does_not_run(
    stage: Stage, happens: str, words: str
) -> None:
    stage.probe = HostUnreachable("It does not answer.")
    conn, domain = stage.task.host.libvirt, stage.guest.domain
    domains.destroy(conn, domain)
    if happens == "undefine":
        domains.undefine(conn, domain)

    message = stage.failure().message

    assert words in message
    assert stage.clock.now_s == 1000.0


def test_domain_that_stands_still_is_not_waited_for(stage: Stage) -> None:
    stage.probe = HostUnreachable("It does not answer.")
    name = stage.guest.domain
    stage.task.host.libvirt.call(
        "suspend", lambda handle: handle.lookupByName(name).suspend(), changes=True
    )

    message = stage.failure().message

    assert "its domain is paused" in message
    assert stage.clock.now_s == 1000.0


def test_domain_that_dies_meanwhile_is_noticed(stage: Stage) -> None:
    stage.probe = HostUnreachable("It does not answer.")
    conn, domain = stage.task.host.libvirt, stage.guest.domain

    def die_later() -> None:
        if stage.clock.now_s > 1020:
            domains.destroy(conn, domain)

    stage.clock.on_wait = die_later
    message = stage.failure().message

    assert "its domain is shut off" in message
    assert stage.clock.now_s < 1022


@pytest.mark.parametrize(
    ("answer", "detail"),
    [
        ("", "The console is empty: the guest never printed anything."),
        (Reply(exit_code=1), "The console is empty: the guest never printed anything."),
        (LibvirtFailed("No way."), "The console cannot be read: No way."),
    ],
)
def test_console_that_says_nothing_is_said_too(
    stage: Stage, answer: object, detail: str
) -> None:
    stage.probe = HostUnreachable("It does not answer.")
    said = well.answers(stage.guest, stage.task.state.network.management[0])
    silent = FakeTransport("host-a", {**said, TAIL: answer}.items())
    stage.task = replace(stage.task, host=replace(stage.task.host, transport=silent))

    assert stage.failure().detail.endswith(detail)


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


def test_guest_without_a_pinned_key_is_not_talked_to(
    stage: Stage, rehearsal: Rehearsal
) -> None:
    key = rehearsal.project.artefacts / "a-host-key.pub"
    key.unlink()

    with pytest.raises(TestbedError, match="host key of guest a is missing"):
        stage.wait()

    assert stage.probes == 0
    generate_artefacts(stage.task)
    stage.wait()
