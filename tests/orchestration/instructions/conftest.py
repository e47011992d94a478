"""One task of the rehearsal, and a rehearsal of clones.

The rehearsal of two plain guests, `rehearsal`, comes from the folder above. `MakeTask`
is for the annotations of tests that take `make_task`.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from orchestration.hosts import Host
from orchestration.instructions.boot import deadline, reaching
from orchestration.instructions.boot.limits import BootLimits
from orchestration.instructions.task import Task
from orchestration.plan.model import Options, Resource
from orchestration.project.host_keys import pin_key
from orchestration.providers.libvirt import domains
from orchestration.providers.linux import pressure
from orchestration.state.model import HostKind
from orchestration.transport.base import Scope
from tests.fakes import FakeTransport
from tests.orchestration.instructions.boot import healthy_guest
from tests.orchestration.instructions.boot.awaited_guest import (
    HOST_KEY,
    READY,
    REPORT,
    TAIL,
    Clock,
    OneGuest,
    Stage,
)
from tests.orchestration.instructions.boot.busy_host import Machine
from tests.orchestration.instructions.boot.diagnosis.sick_guest import Patient
from tests.orchestration.instructions.golden.clones import SCRIPTS, clones
from tests.orchestration.instructions.rehearsal import Rehearsal
from tests.tags import OWN_TAG

MakeTask = Callable[..., Task]


@pytest.fixture
def make_task(rehearsal: Rehearsal) -> MakeTask:
    """Make a task: `make_task("a", host="host-a", provision=True)`."""

    def make(
        key: str, *, host: str = "host-a", peers: int = 1, **options: bool
    ) -> Task:
        state = rehearsal.state
        return Task(
            index=0,
            resource=Resource(key, host, key),
            state=state,
            project=rehearsal.project,
            options=Options(**options),
            host=rehearsal.hosts.open(state.host(host)),
            hosts=rehearsal.hosts,
            scope=rehearsal.scope,
            sink=rehearsal.events.append,
            peers=peers,
        )

    return make


@pytest.fixture(name="scaling")
def _scaling(tmp_path: Path) -> Iterator[Rehearsal]:
    """`node-0` on main, `node-1` and `node-2` on host-b."""
    rehearsal = Rehearsal(tmp_path, clones("br0", "br1", "br1"), scripts=SCRIPTS)
    yield rehearsal
    rehearsal.hosts.close()


@pytest.fixture
def patient(rehearsal: Rehearsal, make_task: Callable[..., Task]) -> Patient:
    rehearsal.up()
    task = make_task("a")
    guest = task.state.guest("a").model_copy(update={"console": "/console"})
    management = task.state.network.management[0]
    return Patient(task, guest, healthy_guest.answers(guest, management))


@pytest.fixture
def stage(
    rehearsal: Rehearsal,
    make_task: Callable[..., Task],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Stage:
    """Guest `a` runs, its network is `probe`'s, its answers a script's."""
    rehearsal.up()
    pin_key(rehearsal.project, "a", HOST_KEY)
    task, clock = make_task("a"), Clock()
    monkeypatch.setattr(deadline.time, "monotonic", clock.monotonic)
    guest = task.state.guest("a").model_copy(update={"console": "/console"})
    said = healthy_guest.answers(guest, task.state.network.management[0])
    said |= {TAIL: "Welcome to a\n", REPORT: ""}
    console = FakeTransport("host-a", said.items())
    real = task.host.state.model_copy(update={"kind": HostKind.REAL})
    task = replace(
        task,
        host=Host(real, console, task.host.libvirt),
        hosts=OneGuest(tmp_path / "runtime", FakeTransport("a", [(READY, 0)])),
        scope=Scope(OWN_TAG, stop=clock),
        # The test driver's guests always work.
        boot=BootLimits(busy_share=float("inf")),
    )
    stage = Stage(task, guest, clock, console)
    monkeypatch.setattr(reaching, "require_login", stage.look)
    return stage


@pytest.fixture
def machine(make_task: MakeTask, monkeypatch: pytest.MonkeyPatch) -> Machine:
    task = make_task("a")
    real = task.host.state.model_copy(update={"kind": HostKind.REAL, "cpus": 2})
    whole = FakeTransport(
        "host-a",
        [
            (re.compile("qemu-img info .*--backing-chain .*"), "[]"),
            (re.compile("sh -c .*disable_ipv6.*", re.DOTALL), ""),
        ],
    )
    host = Host(real, whole, task.host.libvirt)
    # On a slow machine a test takes longer, and these guests have no domains.
    boot = BootLimits(ask_every_s=0.01, look_every_s=0.01, young_s=600.0)
    task = replace(task, host=host, scope=Scope(OWN_TAG), boot=boot)
    machine = Machine(task)
    monkeypatch.setattr(pressure, "observe", machine.look)
    monkeypatch.setattr(domains, "cpu_times", lambda _: machine.used_ns)
    return machine
