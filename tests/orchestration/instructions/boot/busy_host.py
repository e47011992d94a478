"""A host with a ledger of what boots, for the tests of turns and of looks.

Its guests have no domains; `look` and `used_ns` say what a look at it sees. The fixture
`machine` puts it in the place of a real one.
"""

from dataclasses import dataclass, field, replace
from pathlib import Path

from orchestration.instructions.artefacts import generate_artefacts
from orchestration.instructions.boot import admission
from orchestration.instructions.boot.admission import wait_for_turn
from orchestration.instructions.task import Task
from orchestration.providers.linux.pressure import Sample
from orchestration.state.model import GuestState

SAMPLE = Sample(
    uptime_s=100.0,
    load=0.5,
    cpus=2,
    memory_mib=24000,
    free_memory_mib=20000,
    stalled_us={"cpu": 0, "io": 0, "memory": 0},
    average={"cpu": 95.0, "io": 0.0, "memory": 0.0},
)


# So many guests may boot on two processors at once without a look at the host.
FULL = 8


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

    def expect_guests_at_once(self) -> None:
        """Count no guest as too young to have a domain."""
        self.task.boot = replace(self.task.boot, young_s=0.0)

    def book(self) -> admission.Book:
        return admission.Book.model_validate_json(self.file.read_text())

    def write(self, book: admission.Book) -> None:
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
