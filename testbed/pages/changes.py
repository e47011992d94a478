"""The changes that `up` would make: the edited YAML against the deployed state.

Computed from files and rows only, and kept until one of them changes, since the page
asks every few seconds. Bounded: of a large edit the first changes are shown, and the
number of the others. `drift` holds the parts that were observed to be missing.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

from django.conf import settings
from django.utils.text import Truncator

from orchestration.amounts import count_of, mib
from orchestration.errors import TestbedError
from orchestration.project.digests import look_at
from orchestration.state.diff.changes import (
    Change,
    ChangeKind,
    Changes,
    HostNeed,
    diff,
)
from orchestration.state.model import State
from orchestration.state.placement import Taken
from testbed.models import Testbed
from testbed.pages.estimate import estimate
from testbed.testbeds.capacity import Lab, taken_by_others
from testbed.testbeds.planning import has_edited_files, is_edited, wanted_state

Show = Callable[[int], str]
SHOWN = 20
NAMED = 5
GUESTS = "Guests"
REASONS_SHOWN = 400
# Tone and icon of each kind of change; the word is the kind's value.
DISPLAY = {
    ChangeKind.REMOVE: ("bad", "trash"),
    ChangeKind.RECREATE: ("warn", "alert"),
    ChangeKind.RESTART: ("warn", "play"),
    ChangeKind.CHANGE_LIVE: ("good", "pencil"),
    ChangeKind.CHANGE: ("calm", "pencil"),
    ChangeKind.CREATE: ("good", "plus"),
}


@dataclass(frozen=True, slots=True)
class Line:
    """One change as the page shows it; `guest` if it is one that has a page."""

    word: str
    tone: str
    icon: str
    name: str
    host: str
    reasons: str
    guest: str = ""


@dataclass(frozen=True, slots=True)
class Group:
    """Changes of one sort, the first of them as lines."""

    title: str
    lines: tuple[Line, ...]
    more: int


@dataclass(frozen=True, slots=True)
class Room:
    """A host's CPUs and memory assigned to guests after a change, in words."""

    name: str
    memory: str
    cpus: str


@dataclass(frozen=True, slots=True)
class Pending:
    """The effect of the next `up`; `problem` says why it cannot be computed.

    `erased` are the guests whose disks go.
    """

    groups: tuple[Group, ...] = ()
    summary: str = ""
    hosts: tuple[Room, ...] = ()
    problem: str = ""
    erased: frozenset[str] = frozenset()

    @property
    def is_empty(self) -> bool:
        """Return whether nothing would be removed, made or changed."""
        return not self.groups and not self.problem


def pending_changes(
    testbed: Testbed, state: State | None, lab: Lab | None = None
) -> Pending | None:
    """Return an edit's changes; None when nothing was edited or deployed."""
    if state is None:
        return None
    project = testbed.project
    is_due = is_edited(testbed, state) or has_edited_files(testbed, state)
    if not (is_due or project.has_unfinished_change()):
        return None
    lab = lab or Lab()
    taken = tuple(sorted(taken_by_others(testbed, lab.counted).items()))
    return _pending(testbed.pk, testbed.condition, _fingerprint(testbed, lab), taken)


def _fingerprint(testbed: Testbed, lab: Lab) -> tuple[object, ...]:
    """Return a cheap key of everything that the changes follow from."""
    project = testbed.project
    files = [project.state_file, project.deployed_file, project.markers_file]
    files.append(settings.LOCAL_CATALOGUE)
    stats = [path.stat() if path.exists() else None for path in files]
    return (
        project.yaml_sha256(),
        tuple((s.st_ino, s.st_mtime_ns, s.st_size) if s else None for s in stats),
        look_at(project.files),
        tuple(host.to_state() for host in lab.hosts),
        lab.drained,
        lab.reserved,
        tuple(image.pk for image in lab.images_of(testbed.owner)),
    )


@lru_cache(maxsize=64)
def _pending(
    pk: int,
    condition: str,
    fingerprint: tuple[object, ...],
    taken: tuple[tuple[str, Taken], ...],
) -> Pending:
    testbed = Testbed.objects.get(pk=pk)
    try:
        known, wanted = wanted_state(testbed)
    except TestbedError as exc:
        return Pending(problem=exc.sentence)
    if known is None:
        return Pending()
    changes = diff(known, wanted)
    hosts = rooms(changes.hosts, dict(taken))
    time = estimate(testbed, wanted, changes.guests)
    summary = "; ".join(filter(None, (_summary(changes), time)))
    made = {(g.name, g.host) for g in known.guests if g.markers.disk}
    erasing = (ChangeKind.REMOVE, ChangeKind.RECREATE)
    gone = {c.name for c in changes.guests if c.kind in erasing and _at(c) in made}
    return Pending(_groups(changes), summary, hosts, erased=frozenset(gone))


def _at(change: Change) -> tuple[str, str]:
    return change.name, change.host


def _summary(changes: Changes) -> str:
    """Return the costs in words: guests that stop, disks that are erased, the rest."""
    stopping = (ChangeKind.REMOVE, ChangeKind.RECREATE, ChangeKind.RESTART)
    stopped = {c.name for c in changes.guests if c.kind in stopping}
    erased = {c.name for c in changes.guests if c.kind in stopping[:2]}
    words = [f"{_guests(len(stopped))} {'stops' if len(stopped) == 1 else 'stop'}"]
    if erased:
        words.append(f"{count_of(len(erased), 'disk')} erased")
    if changes.untouched:
        words.append(f"{_guests(len(changes.untouched))} not touched")
    return ", ".join(words)


def _guests(count: int) -> str:
    return count_of(count, "guest") if count else "no guests"


def _groups(changes: Changes) -> tuple[Group, ...]:
    found = (
        (GUESTS, changes.guests),
        ("Bridges", changes.bridges),
        ("Links", changes.links),
        ("Networks", changes.networks),
    )
    return tuple(_group(title, list(_merged(some))) for title, some in found if some)


def _group(title: str, changes: list[tuple[Change, bool]]) -> Group:
    is_guests = title == GUESTS
    lines = tuple(_line(*change, is_guest=is_guests) for change in changes[:SHOWN])
    return Group(title, lines, max(0, len(changes) - SHOWN))


def _merged(changes: Iterable[Change]) -> Iterator[tuple[Change, bool]]:
    """Yield the changes, a removed and recreated resource of one name only once."""
    found = list(changes)
    made = {(c.name, c.host): c for c in found if c.kind is ChangeKind.CREATE}
    gone = {(c.name, c.host) for c in found if c.kind is ChangeKind.REMOVE}
    for change in found:
        place = (change.name, change.host)
        if change.kind is ChangeKind.CREATE and place in gone:
            continue
        yield change, change.kind is ChangeKind.REMOVE and place in made


def _line(change: Change, is_replaced: bool, *, is_guest: bool) -> Line:
    if is_replaced:
        change = replace(change, kind=ChangeKind.RECREATE)
    tone, icon = DISPLAY[change.kind]
    rest = len(change.reasons) - NAMED
    more = f" and {rest} more" if rest > 0 else ""
    reasons = Truncator(", ".join(change.reasons[:NAMED])).chars(REASONS_SHOWN) + more
    guest = change.name if is_guest and change.kind is not ChangeKind.CREATE else ""
    return Line(change.kind.value, tone, icon, change.name, change.host, reasons, guest)


def rooms(needs: Iterable[HostNeed], taken: Mapping[str, Taken]) -> tuple[Room, ...]:
    """Describe the assigned part of each host before and after a change."""
    return tuple(_room(need, taken.get(need.name, Taken())) for need in needs)


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
