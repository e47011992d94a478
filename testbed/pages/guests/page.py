"""The page of one guest: as planned, as last observed, as last checked, and its runs.

From rows and files only. The number of queries does not grow with the testbed.
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import NamedTuple

from orchestration.state.model import GuestState, State
from testbed.models import Host, Run, Task, Testbed
from testbed.models.runs import RunQuerySet
from testbed.pages.guests.machine import (
    Disk,
    Interface,
    disks_of,
    interfaces_of,
    other_clones,
)
from testbed.pages.guests.work import (
    Script,
    SerialLog,
    moment_of,
    newest_tasks,
    runs_of,
    scripts_of,
    serial_log_of,
)
from testbed.pages.overview import GuestRow, guests_of
from testbed.pages.traffic import Rate
from testbed.testbeds.capacity import Lab
from testbed.testbeds.planning import is_edited

CLONES_SHOWN = 12
Json = dict[str, object]


class FoundGuest(NamedTuple):
    """A guest with the state that has it. `is_removed`: by an edit, applied in part."""

    state: State
    guest: GuestState
    is_removed: bool


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
    snapshot_count: int
    runs: tuple[Run, ...]

    @property
    def is_counted(self) -> bool:
        """Return whether the last look counted what an interface carried."""
        return any(interface.received for interface in self.interfaces)

    @property
    def rate(self) -> Rate | None:
        """Return the first rate of its interfaces; all are over the same time."""
        return next((one.rate for one in self.interfaces if one.rate), None)

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
        return moment_of(self.facts)

    @property
    def log_at(self) -> datetime | None:
        """The same of the run that fetched the serial log."""
        return moment_of(self.serial_log.task if self.serial_log else None)

    @property
    def checked_at(self) -> datetime | None:
        """The same of the last check."""
        return moment_of(self.check)

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


def guest_page(
    testbed: Testbed, name: str, runs: RunQuerySet, lab: Lab
) -> GuestPage | None:
    """Return a guest's page; None without such a guest. Raises: StateError.

    `runs` are those of the testbed that the user may see.
    """
    found = find_guest(testbed, name)
    if found is None:
        return None
    alone = found.state.model_copy(update={"guests": (found.guest,)})
    (row,) = guests_of(testbed, alone)
    work = newest_tasks(testbed, row.guest)
    return GuestPage(
        row=row,
        host=next((one for one in lab.hosts if one.name == row.guest.host), None),
        is_removed=found.is_removed,
        is_edited=not found.is_removed and is_edited(testbed, found.state),
        interfaces=tuple(interfaces_of(row, found_by(work.facts).get("addresses"))),
        disks=tuple(disks_of(alone, row.guest)),
        clones=other_clones(found.state, row.guest),
        scripts=tuple(scripts_of(row.guest, work.scripts)),
        check=work.check,
        facts=work.facts,
        serial_log=serial_log_of(testbed, name, work.log),
        snapshot_count=_snapshots(testbed, name),
        runs=tuple(runs_of(runs, name)),
    )


def _snapshots(testbed: Testbed, name: str) -> int:
    """Return the number of a guest's snapshots at the last look."""
    row = testbed.observed_snapshots.filter(name=name).first()
    return len(row.snapshots) if row else 0


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
        "at": moment_of(check),
        "layer": found_by(check).get("layer", ""),
    }
