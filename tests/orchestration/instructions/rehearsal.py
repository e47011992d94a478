"""Whole commands on simulated hosts: a project in a folder, and an engine to run it.

The tests of the engine and of the instructions use it: state, plan, threads, scripts
and markers are real, only the machines are simulated. Each instruction sees the state
with its markers read anew, as a Celery batch does.
"""

import json
import secrets
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path

from orchestration.compose.language.schema import HostInterface, Spec
from orchestration.engine import Engine, ResourceResult, Work, share, state_for
from orchestration.events import Event, LogLine, Status
from orchestration.hosts import Hosts
from orchestration.plan.lifecycle import Plan, plan
from orchestration.plan.model import Command, Instruction, Kind, Options
from orchestration.project.contexts import context_digest
from orchestration.project.folder import Project
from orchestration.project.keys import generate_key_pair
from orchestration.providers.libvirt.ownership import GuestDomain, domain_of
from orchestration.state.build import Identity, Inputs, build_state
from orchestration.state.clones import context_key
from orchestration.state.disk_bases import DiskFile
from orchestration.state.model import HostKind, HostState, State
from orchestration.transport.base import Scope
from tests.orchestration.state.samples import CATALOGUE, machine, spec_of

TESTBED = "demo"
GOOD = {Status.DONE, Status.UNCHANGED, Status.WARNING}


def two_guests(**image: object) -> Spec:
    """Two guests on two bridges, which come to lie on two hosts."""
    return spec_of(
        machine("a", "br0", **image),
        machine("b", "br1", **image),
        bridges=("br0", "br1"),
        joined={"br0": "br1"},
    )


def with_card(bridge: str) -> Spec:
    """Two guests, and a network card of main on one of their bridges."""
    spec = two_guests()
    card = HostInterface(nic_name="eth1", testbed_bridge=bridge, testbed_host="host-a")
    network = spec.network.model_copy(update={"network_interfaces": (card,)})
    return spec.model_copy(update={"network": network})


@dataclass
class Outcomes:
    """The outcome of a command: each instruction's results, in order."""

    kinds: list[str] = field(default_factory=list)
    results: list[tuple[str, ResourceResult]] = field(default_factory=list)

    def of(self, kind: Kind) -> dict[str, ResourceResult]:
        """The results of one instruction, by resource."""
        return {r.name: r for k, r in self.results if k == kind}

    def statuses(self) -> set[Status]:
        return {result.status for _, result in self.results}

    def failed(self) -> dict[str, ResourceResult]:
        return {r.name: r for _, r in self.results if r.status is Status.FAILED}


class Rehearsal:
    """A testbed of a folder: `host-a` is main, `host-b` is remote; both simulated."""

    def __init__(
        self,
        folder: Path,
        spec: Spec | None = None,
        *,
        scripts: Mapping[str, str] | None = None,
    ) -> None:
        self.folder = folder
        self.machines = folder / "runtime" / "simulated"
        self.hosts = Hosts(folder / "runtime")
        self.engine = Engine(self.hosts, tasks_per_host=16)
        self.project = Project(folder / "testbeds" / TESTBED)
        self.project.create()
        self.project.identity_file.write_text("private")
        self.inventory = tuple(self._host(name) for name in ("host-a", "host-b"))
        self.events: list[Event] = []
        # Other test runs on this machine look for processes by their tags, too.
        self.scope = Scope(f"{TESTBED}.r{secrets.randbits(32)}.b1.")
        for name, text in (scripts or {}).items():
            (self.project.files / name).write_text(text)
        self.knows_deployed = False
        self.build(spec or two_guests())

    def build(self, spec: Spec, files: Mapping[str, DiskFile] | None = None) -> State:
        """Build the state anew from a spec, as planning does, and write it."""
        previous = self.project.read_state() if self.project.has_state() else None
        state = build_state(
            spec,
            Inputs(
                script_sha256=dict(map(self._digest, self.project.files.iterdir())),
                disk_files=files or {},
            ),
            identity=Identity(
                testbed=TESTBED,
                number=7,
                directory=str(self.project.directory),
                yaml_sha256="",
                identity_file=str(self.project.identity_file),
                public_key=generate_key_pair(TESTBED).public_line
                if previous is None
                else previous.public_key,
            ),
            hosts=self.inventory,
            catalogue=CATALOGUE,
            previous=previous,
        )
        if self.knows_deployed:
            self.project.write_change(self.project.read_known(), state)
        else:
            self.project.write_state(state)
        return state

    def edit(self, spec: Spec) -> State:
        """Build the state anew above something that may be deployed."""
        self.knows_deployed = True
        return self.build(spec)

    @property
    def state(self) -> State:
        return self.project.read_state()

    def up(self, **options: bool) -> Outcomes:
        return self.run(Command.UP, **options)

    def down(self) -> Outcomes:
        return self.run(Command.DOWN)

    def run(self, command: Command, **options: bool) -> Outcomes:
        """Obey a whole plan, as far as it goes."""
        outcomes = Outcomes()
        for instruction in self.plan(command, Options(**options)).instructions:
            results = list(self.obey(instruction, Options(**options)))
            outcomes.kinds.append(instruction.kind)
            outcomes.results += [(instruction.kind, result) for result in results]
            good = all(result.status in GOOD for result in results)
            if not (good or instruction.keep_going):
                break
        return outcomes

    def plan(self, command: Command, options: Options | None = None) -> Plan:
        """Plan as the web does: with everything that may exist besides."""
        project = self.project
        previous = project.read_known() if project.has_unfinished_change() else None
        return plan(command, self.state, options, previous=previous)

    def obey(
        self, instruction: Instruction, options: Options | None = None
    ) -> Iterator[ResourceResult]:
        """Do one instruction, host after host."""
        for host in dict.fromkeys(r.host for r in instruction.resources):
            work = Work(
                share(instruction, host),
                host,
                state_for(instruction, self.project),
                self.project,
                options or Options(),
            )
            yield from self.engine.run(work, scope=self.scope, sink=self.events.append)

    def instruction(self, kind: Kind, command: Command = Command.UP) -> Instruction:
        """One instruction of a command's plan."""
        entries = plan(command, self.state).instructions
        return next(entry for entry in entries if entry.kind == kind)

    def domain(self, name: str) -> GuestDomain:
        """A guest's domain."""
        return domain_of(TESTBED, self.state.guest(name))

    def break_(self, name: str, faults: Mapping[str, Mapping[str, object]]) -> None:
        """Let commands of a machine go wrong; no faults mend it."""
        self.machines.mkdir(parents=True, exist_ok=True)
        (self.machines / f"{name}.faults.json").write_text(json.dumps(faults))

    def asked(self, name: str) -> list[str]:
        """The commands that a machine was asked, without their exit codes."""
        log = self.machines / f"{name}.log"
        lines = log.read_text().splitlines() if log.exists() else []
        return [line.split(" ", 1)[1] for line in lines]

    def memory(self, name: str) -> dict[str, object]:
        """The things on a simulated machine."""
        found: dict[str, object] = json.loads(
            (self.machines / f"{name}.json").read_text()
        )
        return found

    def lines(self, resource: str) -> list[str]:
        """The messages of a resource's tasks to the user."""
        return [
            event.text
            for event in self.events
            if isinstance(event, LogLine) and event.resource == resource
        ]

    def _digest(self, path: Path) -> tuple[str, str]:
        """Digest a script, or a folder as a context."""
        if path.is_file():
            return path.name, sha256(path.read_bytes()).hexdigest()
        return context_key(path.name), context_digest(path, self.project.files)

    def _host(self, name: str) -> HostState:
        is_main = name == "host-a"
        return HostState(
            name=name,
            kind=HostKind.SIMULATED,
            is_main=is_main,
            address="192.0.2.1" if is_main else "192.0.2.2",
            tunnel_address="192.0.2.1" if is_main else "192.0.2.2",
            projects_dir=str(self.folder / "testbeds") if is_main else "/srv/projects",
            images_dir=str(self.folder / "images") if is_main else "/srv/images",
        )
