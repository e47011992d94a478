"""How long a guest is waited for: company, emulation, and a console that grows."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

import pytest

from orchestration.errors import LibvirtFailed
from orchestration.hosts import Host
from orchestration.instructions.boot import admission, deadline
from orchestration.instructions.boot.deadline import BootDeadline, deadline_s
from orchestration.instructions.task import Task
from orchestration.providers.libvirt import domains
from orchestration.state.model import DomainType, HostKind
from tests.fakes import FakeTransport, Reply
from tests.orchestration.instructions.boot import healthy_guest

TAIL = re.compile("tail -c 65536 .*")


@dataclass
class Clock:
    """The time, moved by hand."""

    now_s: float = 1000.0

    def monotonic(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(deadline.time, "monotonic", clock.monotonic)
    return clock


@pytest.fixture
def used_ns(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The processor time of the guest at each look; the last one for ever."""
    used_ns = [7_000_000_000]

    def look(_: object) -> dict[str, int]:
        return {"t7-a": used_ns.pop(0) if len(used_ns) > 1 else used_ns[0]}

    monkeypatch.setattr(domains, "cpu_times", look)
    return used_ns


@pytest.fixture
def task(make_task: Callable[..., Task], used_ns: list[int]) -> Task:
    """Guest `a`, alone and idle on an emulating host; its console says nothing."""
    return on_real_host(make_task("a"))


def on_real_host(task: Task, *sizes: str | Reply) -> Task:
    said = [
        (TAIL, "Linux version 6.1\n"),
        *((healthy_guest.SIZE, size) for size in sizes or ("4096\n",)),
    ]
    real = task.host.state.model_copy(update={"kind": HostKind.REAL})
    host = Host(real, FakeTransport("host-a", said), task.host.libvirt)
    return replace(task, host=host)


def given_up_after(task: Task, clock: Clock, *, step_s: float = 0.5) -> BootDeadline:
    """Wait until the deadline is over."""
    waiting = BootDeadline(task, task.state.guest("a"))
    while not waiting.is_over():
        clock.now_s += step_s
        assert clock.now_s < 5000, "it waits for ever"
    return waiting


@pytest.mark.parametrize(
    ("domain_type", "peers", "seconds"),
    [
        (DomainType.KVM, 1, 125),
        (DomainType.KVM, 20, 220),
        (DomainType.QEMU, 1, 150),
        (DomainType.QEMU, 20, 720),
    ],
)
def test_deadline_grows_with_company_and_emulation(
    make_task: Callable[..., Task], domain_type: DomainType, peers: int, seconds: int
) -> None:
    task = make_task("a", peers=peers)
    accelerated = task.host.state.model_copy(update={"domain_type": domain_type})

    task.host = replace(task.host, state=accelerated)

    assert deadline_s(task) == pytest.approx(seconds)


def test_guests_of_other_testbeds_are_company_too(task: Task) -> None:
    assert deadline_s(task, booting=5) == pytest.approx(120 + 5 * 30)
    assert deadline_s(task, booting=0) == pytest.approx(150)


def test_company_that_comes_later_makes_the_deadline_grow(
    task: Task, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    company = {1000: 1, 1050: 4, 1100: 0}
    monkeypatch.setattr(
        admission,
        "booting",
        lambda _: next(
            n for at, n in sorted(company.items())[::-1] if clock.now_s >= at
        ),
    )

    waiting = given_up_after(task, clock)

    assert waiting.limit_s == pytest.approx(240)
    assert waiting.waited_s == pytest.approx(240.5)


def test_silent_guest_is_given_its_deadline_and_no_more(
    task: Task, clock: Clock
) -> None:
    waiting = given_up_after(task, clock)

    assert waiting.waited_s == pytest.approx(150.5)
    assert waiting.allowed_s == pytest.approx(150)


def test_guest_whose_console_grows_gets_more_time(task: Task, clock: Clock) -> None:
    sizes = [f"{size}\n" for size in (100, 200, 300, 400, 500, 500)]

    waiting = given_up_after(on_real_host(task, *sizes), clock)

    assert 155 < waiting.waited_s < 165
    assert 150 < waiting.allowed_s <= waiting.waited_s


def test_console_that_never_stops_does_not_buy_for_ever(
    task: Task, clock: Clock
) -> None:
    sizes = [f"{size}\n" for size in range(1000)]

    waiting = given_up_after(on_real_host(task, *sizes), clock)

    assert waiting.waited_s == pytest.approx(450, abs=1)


def test_guest_that_works_gets_more_time(
    task: Task, clock: Clock, used_ns: list[int]
) -> None:
    used_ns[:] = [second * 10**9 for second in range(7, 20)]

    assert 160 < given_up_after(task, clock).waited_s < 180


def test_guest_that_idles_gets_no_more_time(
    task: Task, clock: Clock, used_ns: list[int]
) -> None:
    used_ns[:] = [look * 10**8 for look in range(70, 400)]

    assert given_up_after(task, clock).waited_s == pytest.approx(150.5)


def test_console_that_cannot_be_read_buys_nothing(task: Task, clock: Clock) -> None:
    gone = on_real_host(task, Reply(exit_code=1))

    assert given_up_after(gone, clock).waited_s == pytest.approx(150.5)


def test_look_that_fails_ends_no_waiting(
    task: Task, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: object) -> dict[str, int]:
        raise LibvirtFailed("libvirt could not tell.")

    monkeypatch.setattr(domains, "cpu_times", refuse)

    assert given_up_after(task, clock).waited_s == pytest.approx(150.5)


def test_console_is_left_alone_while_there_is_time(task: Task, clock: Clock) -> None:
    silent = on_real_host(task)
    waiting = BootDeadline(silent, silent.state.guest("a"))

    while waiting.waited_s < 139:
        assert not waiting.is_over()
        clock.now_s += 1

    machine = silent.host.transport
    assert isinstance(machine, FakeTransport)
    assert not [line for line in machine.lines if line.startswith("stat ")]


def test_guest_whose_boot_failed_is_not_waited_for(task: Task, clock: Clock) -> None:
    machine = FakeTransport(
        "host-a", [(TAIL, "Linux\n"), (TAIL, "Kernel panic - not syncing: VFS\n")]
    )
    dead = replace(task, host=replace(task.host, transport=machine))

    waiting = given_up_after(dead, clock)

    assert waiting.waited_s == pytest.approx(30)
    assert waiting.allowed_s == pytest.approx(30)


def test_guest_that_boots_again_after_a_failure_is_waited_for(
    task: Task, clock: Clock
) -> None:
    machine = FakeTransport(
        "host-a",
        [
            (TAIL, "Kernel panic - not syncing: VFS\n"),
            (TAIL, "Kernel panic - not syncing: VFS\nRebooting\n"),
            (TAIL, "Linux version 6.1\n"),
            (healthy_guest.SIZE, "4096\n"),
        ],
    )
    again = replace(task, host=replace(task.host, transport=machine))

    assert given_up_after(again, clock).waited_s == pytest.approx(150.5)
