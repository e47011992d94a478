"""Looks at a busy host: one at a time, each noted once, whoever dies in between."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from orchestration import ledgers
from orchestration.errors import Cancelled
from orchestration.instructions.boot.admission import (
    LOOK_LASTS_S,
    Book,
    boot_ended,
    wait_for_turn,
)
from orchestration.providers.linux import pressure
from orchestration.providers.linux.pressure import Sample
from tests.orchestration.instructions.boot.busy_host import FULL, Machine
from tests.waiting import wait_until


def test_one_looks_while_the_others_wait_for_what_it_sees(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.fill(FULL)
    at_once, most = [0], [0]

    def look(*_: object, **__: object) -> Sample:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        time.sleep(0.05)
        at_once[0] -= 1
        return machine.look()

    monkeypatch.setattr(pressure, "observe", look)
    with ThreadPoolExecutor(8) as pool:
        names = (machine.guest(f"late{number}") for number in range(8))
        waiting = [pool.submit(wait_for_turn, machine.task, name) for name in names]
        wait_until(lambda: machine.looks >= 5)
        machine.task.scope.stop.set()

    assert {type(w.exception()) for w in waiting} == {Cancelled}
    assert most[0] == 1


def test_look_that_began_while_one_waited_for_the_lock_is_left_alone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.fill(FULL)
    locked = ledgers.opened

    @contextmanager
    def opened(path: Path, kind: type[Book]) -> Iterator[Book]:
        with locked(path, kind) as book:
            book.looking_until = book.looking_until or time.time() + LOOK_LASTS_S
            yield book

    monkeypatch.setattr(ledgers, "opened", opened)
    machine.task.scope.stop.set()
    with pytest.raises(Cancelled):
        wait_for_turn(machine.task, machine.guest("fifth"))

    assert machine.looks == 0


def test_look_of_a_killed_worker_is_taken_over(machine: Machine) -> None:
    machine.expect_guests_at_once()
    machine.fill(FULL)
    book = machine.book()
    book.looking_until = time.time() + 0.2
    machine.write(book)

    wait_for_turn(machine.task, machine.guest("late"))

    assert machine.looks == 1
    assert time.time() > book.looking_until


def test_guest_counts_from_when_it_was_let_in_not_from_before_a_long_look(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.fill(FULL)
    ended: list[float] = []

    def look(*_: object, **__: object) -> Sample:
        boot_ended(machine.task, machine.guest("g0"))
        time.sleep(0.05)
        ended.append(time.time())
        return machine.look()

    monkeypatch.setattr(pressure, "observe", look)
    wait_for_turn(machine.task, machine.guest("fifth"))

    assert machine.book().ledger.booting[-1].domain == "demo-fifth"
    assert machine.book().ledger.booting[-1].started_at >= ended[0]


def test_looks_are_noted_after_the_clock_was_set_back(machine: Machine) -> None:
    machine.fill(FULL)
    book = machine.book()
    book.looked_at = time.time() + 3600
    machine.write(book)
    waiting = threading.Thread(
        target=wait_for_turn, args=(machine.task, machine.guest("fifth"))
    )

    waiting.start()
    wait_until(lambda: machine.looks >= 2)
    noted = machine.book()
    boot_ended(machine.task, machine.guest("g0"))
    waiting.join(60)

    assert noted.sample is not None
    assert noted.looked_at <= time.time()
