"""A guest whose surroundings are well but for what a test spoils, to be diagnosed.

Used by test_diagnosis.py and test_diagnosis_network.py; the fixture `patient` in
conftest.py is guest `a` of the rehearsal. What is well is in well.py.
"""

from dataclasses import dataclass, replace

from orchestration.hosts import Host
from orchestration.instructions.boot.diagnosis.diagnose import diagnose
from orchestration.instructions.boot.diagnosis.evidence import Diagnosis, Layer, Symptom
from orchestration.instructions.task import Task
from orchestration.state.model import GuestState, HostKind
from tests.fakes import Answer, Expected, FakeTransport
from tests.orchestration.instructions.boot import healthy_guest

SILENT = Symptom(Layer.SSH, "100.64.112.16:22 does not answer: no answer in time")


@dataclass
class Patient:
    """Guest `a` on a host that answers as `script` says."""

    task: Task
    guest: GuestState
    script: healthy_guest.Script

    def spoil(self, asked: Expected, answer: Answer) -> None:
        self.script[asked] = answer

    def diagnosis(
        self, symptom: Symptom = SILENT, inside: FakeTransport | None = None
    ) -> Diagnosis:
        machine = FakeTransport("host-a", self.script.items())
        real = self.task.host.state.model_copy(update={"kind": HostKind.REAL})
        host = Host(real, machine, self.task.host.libvirt)
        return diagnose(replace(self.task, host=host), self.guest, symptom, inside)

    def without_management(self) -> None:
        self.guest = self.guest.model_copy(update={"management": None})
