"""Waiting for a turn: one ledger for all threads, workers and testbeds of a host."""

import re
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from orchestration.errors import Cancelled, HostUnreachable, LibvirtFailed
from orchestration.events import LogLine, TaskProgressed
from orchestration.hosts import Host
from orchestration.instructions import pacing, turns
from orchestration.instructions.base import Task
from orchestration.instructions.guests import start_guests, stop_guests
from orchestration.instructions.prepare import generate_artefacts
from orchestration.instructions.turns import boot_ended, booting, wait_for_turn
from orchestration.providers import pressure
from orchestration.providers.libvirt import domains
from orchestration.providers.pressure import Sample
from orchestration.state.model import GuestState, HostKind
from orchestration.transport.base import Scope
from tests.fakes import FakeTransport
from tests.orchestration.instructions.rehearsal import Rehearsal

SAMPLE = Sample(
    uptime_s=100.0,
    load=0.5,
    cpus=2,
    memory_mib=24000,
    free_memory_mib=20000,
    stalled_us={"cpu": 0, "io": 0, "memory": 0},
    average={"cpu": 95.0, "io": 0.0, "memory": 0.0},
)


@dataclass
class Machine:
    """A host with two processors, which all work all the time."""

    task: Task
    looks: int = 0
    used_ns: dict[str, int] = field(default_factory=dict)

    def look(self, *_: object, **__: object) -> Sample:
        self.looks += 1
        return replace(SAMPLE, uptime_s=100.0 + 60 * self.looks)

    def guest(self, name: str) -> GuestState:
        guest = self.task.state.guest("a")
        return guest.model_copy(update={"name": name, "domain": f"demo-{name}"})

    def fill(self, count: int) -> None:
        for number in range(count):
            wait_for_turn(self.task, self.guest(f"g{number}"))

    def book(self) -> turns.Book:
        return turns.Book.model_validate_json(self.file.read_text())

    def write(self, book: turns.Book) -> None:
        self.file.write_text(book.model_dump_json())

    @property
    def file(self) -> Path:
        return self.task.hosts.runtime_dir / "booting/host-a.json"

    def generate(self) -> None:
        """Let the guest have a definition."""
        generate_artefacts(self.task)

    def of(self, testbed: str) -> Task:
        state = self.task.state.model_copy(update={"testbed": testbed})
        return replace(self.task, state=state)


@pytest.fixture
def machine(make_task: Callable[..., Task], monkeypatch: pytest.MonkeyPatch) -> Machine:
    task = make_task("a")
    real = task.host.state.model_copy(update={"kind": HostKind.REAL, "cpus": 2})
    whole = FakeTransport(
        "host-a", [(re.compile("qemu-img info .*--backing-chain .*"), "[]")]
    )
    host = Host(real, whole, task.host.libvirt)
    machine = Machine(replace(task, host=host, scope=Scope("demo.r1.b1.t0")))
    monkeypatch.setattr(pressure, "look", machine.look)
    monkeypatch.setattr(domains, "cpu_times", lambda _: machine.used_ns)
    monkeypatch.setattr(pacing, "FEW", 4.0)
    # On a slow machine a test takes longer; nobody sees these guests' domains.
    monkeypatch.setattr(pacing, "YOUNG_S", 600.0)
    monkeypatch.setattr(turns, "ASK_EVERY_S", 0.01)
    monkeypatch.setattr(turns, "LOOK_EVERY_S", 0.01)
    return machine


def test_first_guests_start_without_a_look_at_the_host(machine: Machine) -> None:
    machine.fill(4)

    assert booting(machine.task) == 4
    assert machine.looks == 0


def test_next_guest_waits_says_why_and_starts_when_a_boot_ended(
    machine: Machine, rehearsal: Rehearsal
) -> None:
    machine.fill(4)
    rehearsal.events.clear()
    fifth = threading.Thread(
        target=wait_for_turn, args=(machine.task, machine.guest("fifth"))
    )

    fifth.start()
    while not rehearsal.events:
        time.sleep(0.01)
    assert booting(machine.task) == 4
    for name in ("g0", "g1", "g2"):
        boot_ended(machine.task, machine.guest(name))
    fifth.join(60)

    assert not fifth.is_alive()
    assert booting(machine.task) == 2
    said = [e.text for e in rehearsal.events if isinstance(e, LogLine)]
    assert said == ["host-a is busy: cpu pressure 95 %, 4 guests are booting; waiting"]
    shown = [e for e in rehearsal.events if isinstance(e, TaskProgressed)]
    assert shown[0].note.startswith("host-a is busy: cpu pressure 95 %")


def test_one_looks_while_the_others_wait_for_what_it_sees(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.fill(4)
    at_once, most = [0], [0]

    def look(*_: object, **__: object) -> Sample:
        at_once[0] += 1
        most[0] = max(most[0], at_once[0])
        time.sleep(0.05)
        at_once[0] -= 1
        return machine.look()

    monkeypatch.setattr(pressure, "look", look)
    with ThreadPoolExecutor(8) as pool:
        names = (machine.guest(f"late{number}") for number in range(8))
        waiting = [pool.submit(wait_for_turn, machine.task, name) for name in names]
        while machine.looks < 5:
            time.sleep(0.01)
        machine.task.scope.stop.set()

    assert {type(w.exception()) for w in waiting} == {Cancelled}
    assert most[0] == 1


def test_look_of_a_killed_worker_is_taken_over(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pacing, "YOUNG_S", 0.0)
    machine.fill(4)
    book = machine.book()
    book.looking_until = time.time() + 0.2
    machine.write(book)

    wait_for_turn(machine.task, machine.guest("late"))

    assert machine.looks == 1
    assert time.time() > book.looking_until


def test_cancel_ends_the_waiting(machine: Machine) -> None:
    machine.fill(4)
    machine.task.scope.stop.set()

    with pytest.raises(Cancelled):
        wait_for_turn(machine.task, machine.guest("late"))

    assert booting(machine.task) == 4


def test_dead_host_ends_the_waiting(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.fill(4)

    def gone(*_: object, **__: object) -> Sample:
        raise HostUnreachable("host-a does not answer.")

    monkeypatch.setattr(pressure, "look", gone)
    with pytest.raises(HostUnreachable):
        wait_for_turn(machine.task, machine.guest("late"))


def test_another_testbed_does_not_wait_behind_a_full_host(machine: Machine) -> None:
    machine.fill(4)

    wait_for_turn(machine.of("small"), machine.guest("only"))

    assert booting(machine.task) == 5


def test_same_guest_counts_once(machine: Machine) -> None:
    for _ in range(3):
        wait_for_turn(machine.task, machine.guest("again"))

    assert booting(machine.task) == 1


def test_what_a_killed_worker_let_in_is_dropped_when_it_is_gone(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.fill(4)
    monkeypatch.setattr(turns.pacing, "YOUNG_S", 0.0)

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

    assert most[0] <= 4
    assert booting(machine.task) == 0


def test_rehearsal_waits_for_nothing(make_task: Callable[..., Task]) -> None:
    task = make_task("a")

    wait_for_turn(task, task.state.guest("a"))
    boot_ended(task, task.state.guest("a"))

    assert booting(task) == 0
    assert not (task.hosts.runtime_dir / "booting").exists()


def test_guest_counts_from_when_it_was_let_in_not_from_before_a_long_look(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    machine.fill(4)
    ended: list[float] = []

    def look(*_: object, **__: object) -> Sample:
        boot_ended(machine.task, machine.guest("g0"))
        time.sleep(0.05)
        ended.append(time.time())
        return machine.look()

    monkeypatch.setattr(pressure, "look", look)
    wait_for_turn(machine.task, machine.guest("fifth"))

    assert machine.book().ledger.booting[-1].domain == "demo-fifth"
    assert machine.book().ledger.booting[-1].started_at >= ended[0]


def test_looks_are_noted_after_the_clock_was_set_back(machine: Machine) -> None:
    machine.fill(4)
    book = machine.book()
    book.looked_at = time.time() + 3600
    machine.write(book)
    waiting = threading.Thread(
        target=wait_for_turn, args=(machine.task, machine.guest("fifth"))
    )

    waiting.start()
    while machine.looks < 2:
        time.sleep(0.01)
    noted = machine.book()
    boot_ended(machine.task, machine.guest("g0"))
    waiting.join(60)

    assert noted.sample is not None
    assert noted.looked_at <= time.time()
