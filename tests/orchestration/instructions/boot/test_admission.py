"""Waiting for a turn: one ledger for all threads, workers and testbeds of a host."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from orchestration.errors import Cancelled, HostUnreachable, LibvirtFailed
from orchestration.events import LogLine, TaskProgressed
from orchestration.instructions.boot.admission import boot_ended, booting, wait_for_turn
from orchestration.instructions.guests import start_guests, stop_guests
from orchestration.instructions.task import Task
from orchestration.providers.libvirt import domains
from orchestration.providers.linux import pressure
from orchestration.providers.linux.pressure import Sample
from tests.orchestration.instructions.boot.busy_host import FULL, Machine
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.waiting import wait_until


def test_first_guests_start_without_a_look_at_the_host(machine: Machine) -> None:
    machine.fill(FULL)

    assert booting(machine.task) == FULL
    assert machine.looks == 0


def test_next_guest_waits_says_why_and_starts_when_a_boot_ended(
    machine: Machine, rehearsal: Rehearsal
) -> None:
    machine.fill(FULL)
    rehearsal.events.clear()
    fifth = threading.Thread(
        target=wait_for_turn, args=(machine.task, machine.guest("fifth"))
    )

    fifth.start()
    wait_until(lambda: rehearsal.events)
    assert booting(machine.task) == FULL
    for name in ("g0", "g1", "g2"):
        boot_ended(machine.task, machine.guest(name))
    fifth.join(60)

    assert not fifth.is_alive()
    assert booting(machine.task) == FULL - 2
    said = [e.text for e in rehearsal.events if isinstance(e, LogLine)]
    assert said == ["host-a is busy: cpu pressure 95 %, 8 guests are booting; waiting"]
    shown = [e for e in rehearsal.events if isinstance(e, TaskProgressed)]
    assert shown[0].note.startswith("host-a is busy: cpu pressure 95 %")


def test_cancel_ends_the_waiting(machine: Machine) -> None:
    machine.fill(FULL)
    machine.task.scope.stop.set()

    with pytest.raises(Cancelled):
        wait_for_turn(machine.task, machine.guest("late"))

    assert booting(machine.task) == FULL


def test_dead_host_ends_the_waiting(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.fill(FULL)

    def gone(*_: object, **__: object) -> Sample:
        raise HostUnreachable("host-a does not answer.")

    monkeypatch.setattr(pressure, "observe", gone)
    with pytest.raises(HostUnreachable):
        wait_for_turn(machine.task, machine.guest("late"))


def test_another_testbed_does_not_wait_behind_a_full_host(machine: Machine) -> None:
    machine.fill(FULL)

    wait_for_turn(machine.of("small"), machine.guest("only"))

    assert booting(machine.task) == FULL + 1


def test_same_guest_counts_once(machine: Machine) -> None:
    for _ in range(3):
        wait_for_turn(machine.task, machine.guest("again"))

    assert booting(machine.task) == 1


def test_guest_of_a_killed_worker_is_dropped_when_it_is_gone(machine: Machine) -> None:
    machine.fill(FULL)
    machine.expect_guests_at_once()

    wait_for_turn(machine.task, machine.guest("next"))

    assert booting(machine.task) == 1


@pytest.mark.parametrize("text", ["", "{", '{"ledger": 7}', "\x00\x00"])
def test_broken_ledger_is_an_empty_one(machine: Machine, text: str) -> None:
    machine.fill(1)
    machine.file.write_text(text)

    assert booting(machine.task) == 0
    machine.fill(2)
    assert booting(machine.task) == 2


def test_start_that_fails_gives_its_place(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> bool:
        assert booting(machine.task) == 1
        raise LibvirtFailed("libvirt could not start it.")

    monkeypatch.setattr(domains, "start", refuse)
    machine.generate()
    with pytest.raises(LibvirtFailed):
        start_guests(machine.task)

    assert booting(machine.task) == 0


def test_guest_that_is_stopped_gives_its_place(machine: Machine) -> None:
    machine.generate()
    start_guests(machine.task)
    before = booting(machine.task)

    stop_guests(machine.task)

    assert (before, booting(machine.task)) == (1, 0)


def test_bound_holds_for_many_threads(machine: Machine) -> None:
    most, lock = [0], threading.Lock()

    def start(number: int) -> None:
        guest = machine.guest(f"g{number}")
        wait_for_turn(machine.task, guest)
        with lock:
            most[0] = max(most[0], booting(machine.task))
        boot_ended(machine.task, guest)

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(start, range(60)))

    assert most[0] <= FULL
    assert booting(machine.task) == 0


def test_rehearsal_waits_for_nothing(make_task: Callable[..., Task]) -> None:
    task = make_task("a")

    wait_for_turn(task, task.state.guest("a"))
    boot_ended(task, task.state.guest("a"))

    assert booting(task) == 0
    assert not (task.hosts.runtime_dir / "booting").exists()
