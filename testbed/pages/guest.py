"""The page of one guest: as planned, as last observed, as last checked, and its runs.

From rows and files only. The number of queries does not grow with the testbed.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import NamedTuple

from django.db.models import Exists, OuterRef, Q, QuerySet

from orchestration.instructions.execution.serial_logs import log_name
from orchestration.plan.model import ON_GUESTS, Command, Kind
from orchestration.state.disk_sizes import disk_bytes
from orchestration.state.model import GuestState, ScriptState, State
from orchestration.state.model.images import DiskOrigin, ImageState
from testbed.models import Host, Run, Task, Testbed
from testbed.models.runs import RunQuerySet
from testbed.pages.execution.fetched import query_of
from testbed.pages.overview import GuestRow, guests_of, script_status
from testbed.testbeds.disk_space import virtual_bytes
from testbed.testbeds.planning import is_edited

RUNS_SHOWN = 10
CLONES_SHOWN = 12
ENDED = (Task.Status.DONE, Task.Status.WARNING, Task.Status.FAILED)
ORIGINS = {
    DiskOrigin.LINKED: "a layer over its image",
    DiskOrigin.COPIED: "a copy of its image",
    DiskOrigin.BLANK: "created empty",
}
Json = dict[str, object]


class FoundGuest(NamedTuple):
    """A guest with the state that has it. `is_removed`: by an edit, applied in part."""

    state: State
    guest: GuestState
    is_removed: bool


@dataclass(frozen=True, slots=True)
class Interface:
    """One interface; `wanted` is its address in the state, `actual` those it had.

    `actual` is None while no check has read them.
    """

    name: str
    bridge: str
    mac: str
    tap: str
    wanted: str
    actual: tuple[str, ...] | None

    @property
    def is_other(self) -> bool:
        """Return whether the guest was seen without the address that it should have."""
        address = self.wanted.partition("/")[0]
        has_one = address not in ("", "dhcp")
        return self.actual is not None and has_one and address not in self.actual


@dataclass(frozen=True, slots=True)
class Disk:
    """One file of the chain that a guest's disk is; 0 bytes where no size is known."""

    title: str
    path: str
    size_bytes: int = 0
    note: str = ""


@dataclass(frozen=True, slots=True)
class Script:
    """A script of a guest; `task` is of the last run that ran it, if it is kept."""

    title: str
    path: str
    status: str
    exit_code: int | None
    task: Task | None


@dataclass(frozen=True, slots=True)
class SerialLog:
    """A guest's whole serial log as `task` fetched it, and the query of its address."""

    task: Task
    size_bytes: int
    query: str


@dataclass(frozen=True, slots=True)
class GuestPage:
    """Everything that a guest's page shows.

    `check` is the last task that checked it, `facts` the last that read facts of it.
    `host` is None when the host was removed from the installation.
    """

    row: GuestRow
    host: Host | None
    is_removed: bool
    is_edited: bool
    interfaces: tuple[Interface, ...]
    disks: tuple[Disk, ...]
    clones: tuple[str, ...]
    scripts: tuple[Script, ...]
    check: Task | None
    facts: Task | None
    serial_log: SerialLog | None
    runs: tuple[Run, ...]

    @property
    def clones_shown(self) -> tuple[str, ...]:
        """The first of the other clones of its golden image."""
        return self.clones[:CLONES_SHOWN]

    @property
    def more_clones(self) -> int:
        """The number of the clones that are not shown."""
        return len(self.clones) - len(self.clones_shown)

    @property
    def console(self) -> str:
        """The end of its serial console, as last read; empty when nothing was."""
        return str(found_by(self.facts).get("console", ""))

    @property
    def facts_at(self) -> datetime | None:
        """The end of the run that read the facts, or its start while it goes on."""
        return _moment(self.facts)

    @property
    def log_at(self) -> datetime | None:
        """The same of the run that fetched the serial log."""
        return _moment(self.serial_log.task if self.serial_log else None)

    @property
    def checked_at(self) -> datetime | None:
        """The same of the last check."""
        return _moment(self.check)

    def to_json(self) -> Json:
        """Return the page for programs, as docs/protocol.md shows it."""
        guest, seen = self.row.guest, self.row.observed
        return {
            "name": guest.name,
            "host": guest.host,
            "status": self.row.status,
            "by_request": self.row.is_requested,
            "observed_since": seen.observed_since if seen else None,
            "observed_at": seen.observed_at if seen else None,
            "removed": self.is_removed,
            "image": guest.image.name,
            "clone_of": guest.golden,
            "clones": self.clones,
            "interfaces": [asdict(interface) for interface in self.interfaces],
            "disks": [asdict(disk) for disk in self.disks],
            "scripts": [_script_json(script) for script in self.scripts],
            "check": _check_json(self.check),
            "runs": [run.pk for run in self.runs],
        }


def guest_page(testbed: Testbed, name: str, runs: RunQuerySet) -> GuestPage | None:
    """Return a guest's page; None without such a guest. Raises: StateError.

    `runs` are those of the testbed that the user may see.
    """
    found = find_guest(testbed, name)
    if found is None:
        return None
    alone = found.state.model_copy(update={"guests": (found.guest,)})
    (row,) = guests_of(testbed, alone)
    checks = _tasks(testbed, name, (Command.CHECK,), Kind.CHECK_GUESTS)
    facts = checks.filter(found__isnull=False).first()
    return GuestPage(
        row=row,
        host=Host.objects.filter(name=row.guest.host).first(),
        is_removed=found.is_removed,
        is_edited=not found.is_removed and is_edited(testbed, found.state),
        interfaces=tuple(_interfaces(row.guest, found_by(facts).get("addresses"))),
        disks=tuple(_disks(alone, row.guest)),
        clones=_other_clones(found.state, row.guest),
        scripts=tuple(_scripts(testbed, row.guest)),
        check=checks.first(),
        facts=facts,
        serial_log=_serial_log(testbed, name),
        runs=tuple(_runs_of(runs, name)),
    )


def find_guest(testbed: Testbed, name: str) -> FoundGuest | None:
    """Return a guest of the testbed's state, or of what may exist besides.

    Raises: StateError.
    """
    for number, state in enumerate(testbed.project.read_all()):
        for guest in state.guests:
            if guest.name == name:
                return FoundGuest(state, guest, number > 0)
    return None


def found_by(task: Task | None) -> Mapping[str, object]:
    """Return the facts that a check found; empty for none."""
    return task.found if task is not None and isinstance(task.found, dict) else {}


def _tasks(
    testbed: Testbed, name: str, commands: Collection[Command], kind: Kind
) -> QuerySet[Task]:
    tasks = Task.objects.filter(
        instruction__run__testbed=testbed,
        instruction__run__command__in=commands,
        instruction__kind=kind,
        resource=name,
    )
    newest = tasks.select_related("instruction__run").order_by("-pk")
    return newest.defer("instruction__run__plan", "instruction__run__options")


def _runs_of(runs: RunQuerySet, name: str) -> RunQuerySet:
    tasks = Task.objects.filter(instruction__run=OuterRef("pk"), resource=name)
    touching = tasks.filter(instruction__kind__in=ON_GUESTS)
    return runs.listed().filter(Exists(touching))[:RUNS_SHOWN]


def _interfaces(guest: GuestState, addresses: object) -> Iterator[Interface]:
    known = addresses if isinstance(addresses, dict) and addresses else None

    def actual(name: str) -> tuple[str, ...] | None:
        return None if known is None else tuple(known.get(name, ()))

    for one in guest.interfaces:
        wanted = f"{one.address}/{one.prefix}" if one.address else ""
        if one.dhcp:
            wanted = one.address or "dhcp"
        yield Interface(
            one.name, one.bridge, one.mac, one.tap, wanted, actual(one.name)
        )
    if (own := guest.management) is not None:
        wanted = f"{own.address}/{own.prefix}"
        yield Interface(
            own.name, own.network, own.mac, own.tap, wanted, actual(own.name)
        )


def _disks(state: State, guest: GuestState) -> Iterator[Disk]:
    if guest.disk:
        size = disk_bytes(state, virtual_bytes)[guest.name]
        yield Disk("Disk", guest.disk, size, ORIGINS[guest.disk_origin])
    yield _image("CD-ROM" if guest.is_cdrom else "Image", guest.image)
    golden = next((g for g in state.goldens if g.name == guest.golden), None)
    if guest.image.golden and golden is not None:
        yield _image(f"Image of {golden.name}", golden.guest.image)
    if guest.seed:
        yield Disk("Seed", guest.seed, note="its first settings")


def _image(title: str, image: ImageState) -> Disk:
    return Disk(title, image.path, virtual_bytes(image), image.name)


def _other_clones(state: State, guest: GuestState) -> tuple[str, ...]:
    if not guest.golden:
        return ()
    same = (one.name for one in state.guests if one.golden == guest.golden)
    return tuple(name for name in same if name != guest.name)


def _scripts(testbed: Testbed, guest: GuestState) -> Iterable[Script]:
    marks = guest.markers
    found = (
        (Kind.SET_UP_GUESTS, guest.setup_script, marks.script, marks.script_exit_code),
        (
            Kind.RUN_SCRIPTS,
            guest.run_script,
            marks.run_script,
            marks.run_script_exit_code,
        ),
    )
    for kind, script, digest, exit_code in found:
        if script is not None:
            title = "Setup" if kind is Kind.SET_UP_GUESTS else "Run"
            status = script_status(script, digest, exit_code)
            task = _last_of(testbed, guest.name, kind, script)
            yield Script(title, script.path, status, exit_code, task)


def _last_of(
    testbed: Testbed, name: str, kind: Kind, script: ScriptState
) -> Task | None:
    """Return the newest task that says how this script ended."""
    said = Q(message__startswith=f"{script.path} ") | Q(
        detail__startswith=f"{script.path} "
    )
    tasks = _tasks(testbed, name, (Command.UP, Command.UP_GUESTS), kind)
    return tasks.filter(said, status__in=ENDED).first()


def _serial_log(testbed: Testbed, name: str) -> SerialLog | None:
    """Return the newest log that was fetched; None if there is none, or it is gone."""
    fetches = _tasks(testbed, name, (Command.EXEC,), Kind.FETCH_SERIAL_LOGS)
    task = fetches.filter(status=Task.Status.DONE).first()
    if task is None:
        return None
    folder = testbed.project.fetched(task.instruction.run_id) / name
    try:
        size_bytes = (folder / log_name(name)).stat().st_size
    except FileNotFoundError:
        return None
    return SerialLog(task, size_bytes, query_of(name, log_name(name)))


def _moment(task: Task | None) -> datetime | None:
    if task is None:
        return None
    run = task.instruction.run
    return run.ended_at or run.started_at or run.created_at


def _script_json(script: Script) -> Json:
    return {
        "title": script.title,
        "path": script.path,
        "status": script.status,
        "exit_code": script.exit_code,
        "run": script.task.instruction.run_id if script.task else None,
    }


def _check_json(check: Task | None) -> Json | None:
    if check is None:
        return None
    return {
        "run": check.instruction.run_id,
        "status": check.status,
        "message": check.message,
        "hint": check.hint,
        "at": _moment(check),
        "layer": found_by(check).get("layer", ""),
    }
