"""A guest that is waited for, on a stage where time passes only by sleeping.

The network's answers are a list, those of the guest a script, and its host is real as
far as the code can see. Used by test_waiting.py and test_waiting_domain.py; the fixture
`stage` in conftest.py sets it up for guest `a` of the rehearsal.
"""

import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from orchestration.errors import GuestUnreachable, TestbedError
from orchestration.hosts import Hosts
from orchestration.instructions.boot.reaching import wait_until_reachable
from orchestration.instructions.task import Task
from orchestration.project.keys import generate_key_pair
from orchestration.state.model import GuestState, State
from tests.fakes import FakeTransport

READY = re.compile(r"sh -c .* ready demo-a-[0-9a-f]{8}", re.DOTALL)
LOOK = re.compile(r"sh -c (?!.* ready demo-a-).*", re.DOTALL)
TAIL = "tail -c 65536 /console"
REPORT = re.compile(r"tail -c 4096 \S+/a-host-key\.report")
HOST_KEY, OTHER_KEY = (
    " ".join(generate_key_pair("").public_line.split()[:2]) for _ in range(2)
)


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

    def reports(self, *said: str) -> None:
        """Let the guest report these, one at each question, after nothing at first."""
        self.machine.expect(*((REPORT, f"{key}\n") for key in said))

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
        self.host_keys: list[str] = []

    def guest(self, state: State, guest: GuestState, *, host_key: str) -> FakeTransport:
        self.host_keys.append(" ".join(host_key.split()[:2]))
        return self.transport


def guest_says(stage: Stage, *answers: object) -> None:
    hosts = stage.task.hosts
    assert isinstance(hosts, OneGuest)
    said = [(READY, answer) for answer in answers]
    hosts.transport = FakeTransport("a", [*said, (LOOK, "")])
