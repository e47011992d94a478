"""Computes how much of the hosts is assigned to other testbeds, and how much is left.

For placing guests, for quotas, and for the page of an edit. Computed from the states of
the testbeds that are up, or are coming up, not from observations: a busy minute must not
move a guest between the page that was read and the click on Up.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from django.db import transaction
from django.db.models import Q

from orchestration.amounts import mib
from orchestration.errors import StateError
from orchestration.plan.model import Command
from orchestration.project.folder import Project, Stamp
from orchestration.state.diff.changes import HostNeed
from orchestration.state.model import GuestState, State
from orchestration.state.placement import Taken
from testbed.models import Host, Run, Testbed

Show = Callable[[int], str]
UNBOUNDED = 2**62
STARTS_GUESTS = (Command.UP, Command.UP_GUESTS)
DEPLOYED = Q(condition__in=Testbed.DEPLOYED)
COMING_UP = Q(runs__status__in=Run.ACTIVE, runs__command__in=STARTS_GUESTS)


@dataclass(frozen=True, slots=True)
class GuestNeed:
    """A guest's processors and memory on a host."""

    name: str
    host: str
    need: Taken


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


def wait_for_other_plans() -> None:
    """Let one plan at a time go on; the lock ends with the caller's transaction.

    SQLite needs none: its transactions begin with the only lock for writers.
    """
    with transaction.atomic(savepoint=False):
        list(Host.objects.select_for_update(no_key=True).filter(is_main=True))


def needs_of(testbed: Testbed, *, is_whole: bool) -> tuple[GuestNeed, ...]:
    """Return the needs of a testbed's guests, on each host where they may run.

    `is_whole`: of all in its states, and not only of those that have a disk, without
    which no guest was ever started.
    """
    project = testbed.project
    return _guests(project.directory, project.stamps(), is_whole)


def held_needs(testbed: Testbed) -> tuple[GuestNeed, ...]:
    """Return the needs of the guests that run already, as they were before an edit.

    An Up that needs no more is never refused. It is the least that may run: the guests
    of an edit count only once it is applied.
    """
    if testbed.condition not in Testbed.DEPLOYED:
        return ()
    try:
        before = testbed.project.read_all()[-1:]
    except StateError:
        return ()
    found = (guest for state in before for guest in state.guests)
    return tuple(_need(guest) for guest in found if guest.markers.disk)


def needs_in(state: State) -> tuple[GuestNeed, ...]:
    """Return the needs of a state's guests."""
    return tuple(map(_need, state.guests))


def by_host(needs: Iterable[GuestNeed]) -> dict[str, Taken]:
    """Sum the needs of each host."""
    found: dict[str, Taken] = {}
    for one in needs:
        found[one.host] = found.get(one.host, Taken()) + one.need
    return found


def added_to_hosts(
    wanted: Iterable[GuestNeed], held: Iterable[GuestNeed]
) -> dict[str, Taken]:
    """Return what guests need on each host beyond those that are held there."""
    before, found = by_host(held), {}
    for host, need in by_host(wanted).items():
        old = before.get(host, Taken())
        cpus, memory_mib = need.cpus - old.cpus, need.memory_mib - old.memory_mib
        if cpus > 0 or memory_mib > 0:
            found[host] = Taken(max(0, cpus), max(0, memory_mib))
    return found


def rest_of_hosts() -> dict[str, Taken]:
    """Return what each host may have besides the guests that run or are being started.

    A size that is not known counts as unbounded. A testbed whose Up waits counts as it
    was before.
    """
    used = _used_on_hosts()
    found = {}
    for host in Host.objects.all():
        cpus = host.most_vcpus or UNBOUNDED
        memory_mib = host.most_memory_mib or UNBOUNDED
        taken = used.get(host.name, Taken())
        found[host.name] = Taken(cpus - taken.cpus, memory_mib - taken.memory_mib)
    return found


def _used_on_hosts() -> dict[str, Taken]:
    ups = Run.objects.filter(command__in=STARTS_GUESTS)
    starting = set(ups.active().begun().values_list("testbed", flat=True))
    waiting = set(ups.waiting().values_list("testbed", flat=True))
    used: dict[str, Taken] = {}
    for one in Testbed.objects.filter(DEPLOYED | Q(pk__in=starting)):
        is_waiting = one.pk in waiting
        needs = (
            held_needs(one)
            if is_waiting
            else needs_of(one, is_whole=one.pk in starting)
        )
        for host, need in by_host(needs).items():
            used[host] = used.get(host, Taken()) + need
    return used


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


@lru_cache(maxsize=4096)
def _guests(
    directory: Path, stamps: tuple[Stamp, ...], is_whole: bool
) -> tuple[GuestNeed, ...]:
    """Return a testbed's guests; read again when a file of its state changed."""
    try:
        states = Project(directory).read_all()
    except StateError:  # unknown then; the testbed's own page reports it
        return ()
    found: dict[tuple[str, str], GuestNeed] = {}
    for guest in (guest for state in states for guest in state.guests):
        if is_whole or guest.markers.disk:
            one = _need(guest)
            place = (one.name, one.host)
            found[place] = max(found.get(place, one), one, key=_size)
    return tuple(found.values())


def _need(guest: GuestState) -> GuestNeed:
    return GuestNeed(guest.name, guest.host, Taken(guest.cpus, guest.memory_mib))


def _size(need: GuestNeed) -> tuple[int, int]:
    return need.need.memory_mib, need.need.cpus


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
