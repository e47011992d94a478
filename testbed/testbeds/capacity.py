"""Computes how much of the hosts is assigned to other testbeds, and how much is left.

For placing guests and for the page of an edit. Computed from the states of the testbeds
that are up, or are coming up, not from observations: a busy minute must not move a
guest between the page that was read and the click on Up.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from django.db.models import Q

from orchestration.amounts import mib
from orchestration.errors import StateError
from orchestration.project.folder import Project, Stamp
from orchestration.state.diff.changes import HostNeed
from orchestration.state.placement import Taken
from testbed.models import Run, Testbed

Show = Callable[[int], str]
DEPLOYED = Q(condition__in=Testbed.DEPLOYED)
COMING_UP = Q(runs__status__in=Run.ACTIVE, runs__command="up")


@dataclass(frozen=True, slots=True)
class Room:
    """A host's CPUs and memory assigned to guests after a change, in words."""

    name: str
    memory: str
    cpus: str


def taken_by_others(testbed: Testbed) -> dict[str, Taken]:
    """Return the needs of all other testbeds' guests, by host."""
    taken: dict[str, Taken] = {}
    others = Testbed.objects.exclude(pk=testbed.pk)
    for other in others.filter(DEPLOYED | COMING_UP).distinct():
        project = other.project
        for host, need in _needs(project.directory, project.stamps()[0]):
            taken[host] = taken.get(host, Taken()) + need
    return taken


def rooms(needs: Iterable[HostNeed], taken: Mapping[str, Taken]) -> tuple[Room, ...]:
    """Describe the assigned part of each host before and after a change."""
    return tuple(_room(need, taken.get(need.name, Taken())) for need in needs)


@lru_cache(maxsize=1024)
def _needs(directory: Path, stamp: Stamp) -> tuple[tuple[str, Taken], ...]:
    """Return the need of each guest of a testbed, by host; read when it changed."""
    try:
        guests = Project(directory).read_state().guests
    except StateError:  # unknown then; the testbed's own page reports it
        return ()
    return tuple((g.host, Taken(g.cpus, g.memory_mib)) for g in guests)


def _room(need: HostNeed, others: Taken) -> Room:
    memory = (need.memory_mib_before, need.memory_mib)
    cpus = (need.cpus_before, need.cpus)
    return Room(
        need.name,
        _words(need.memory_mib_of_host, others.memory_mib, *memory, mib),
        _words(need.cpus_of_host, others.cpus, *cpus, str),
    )


def _words(total: int, others: int, before: int, after: int, show: Show) -> str:
    """Describe how much of a host is assigned after a change, and is now."""
    wanted, now = others + after, show(others + before)
    if not total:
        return f"{show(wanted)} assigned (now {now})"
    over = f", {show(wanted - total)} more than it has" if wanted > total else ""
    return f"{show(wanted)} of {show(total)} assigned{over} (now {now})"
