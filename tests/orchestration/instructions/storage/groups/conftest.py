"""Two guests of two simulated hosts, both up, and acts on all at once."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import libvirt
import pytest

from orchestration.events import LogLine
from orchestration.instructions.storage.groups import creating, restoring
from orchestration.instructions.task import Outcome, Task
from orchestration.plan.snapshots import SnapshotVerb, SnapshotWish
from orchestration.providers.libvirt import domains
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.snapshots import verbs
from orchestration.providers.libvirt.snapshots.text import Snapshot
from tests.orchestration.instructions.conftest import MakeTask
from tests.orchestration.instructions.rehearsal import Rehearsal

ACTS = {
    "create": creating.create_group_snapshot,
    "restore": restoring.restore_group_snapshot,
    "delete": restoring.forget_group_snapshot,
}


@dataclass
class Both:
    """Guest `a` on host-a, guest `b` on host-b, and what is done with both."""

    rehearsal: Rehearsal
    make_task: MakeTask

    def task(self, verb: str, name: str = "", **more: object) -> Task:
        wish = SnapshotWish(SnapshotVerb(verb), name, "ann", is_group=True, **more)
        return replace(self.make_task("demo"), snapshot=wish)

    def act(self, verb: str, name: str = "", **more: object) -> Outcome:
        return ACTS[verb](self.task(verb, name, **more))

    def conn(self, guest: str) -> Connection:
        state = self.rehearsal.state
        return self.rehearsal.hosts.open(state.host(state.guest(guest).host)).libvirt

    def tree(self, guest: str) -> dict[str, Snapshot]:
        situation = verbs.look(self.conn(guest), self.rehearsal.domain(guest))
        return {one.name: one for one in situation.snapshots} if situation else {}

    def names(self) -> dict[str, list[str]]:
        return {guest: list(self.tree(guest)) for guest in ("a", "b")}

    def statuses(self) -> list[str]:
        return [
            domains.find(self.conn(guest), self.rehearsal.domain(guest)).status
            for guest in ("a", "b")
        ]

    def by_hand(self, guest: str, work: Callable[[libvirt.virDomain], object]) -> None:
        """Change a guest as another program does."""
        name = self.rehearsal.domain(guest).name
        self.conn(guest).call(
            "act", lambda handle: work(handle.lookupByName(name)), changes=True
        )

    def log(self) -> str:
        events = self.rehearsal.events
        return "\n".join(one.text for one in events if isinstance(one, LogLine))


@pytest.fixture(name="both")
def _both(rehearsal: Rehearsal, make_task: MakeTask) -> Both:
    rehearsal.up()
    return Both(rehearsal, make_task)
