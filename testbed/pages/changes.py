"""The changes that `up` would make: the edited YAML against the deployed state.

Computed from files and rows only, and kept until one of them changes, since the page
asks every few seconds. Bounded: of a large edit the first changes are shown, and the
number of the others. `drift` holds the parts that were observed to be missing.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from functools import lru_cache

from django.conf import settings
from django.utils.text import Truncator

from orchestration.amounts import count_of
from orchestration.errors import TestbedError
from orchestration.project.digests import look_at
from orchestration.state.diff.changes import Change, ChangeKind, Changes, diff
from orchestration.state.model import State
from orchestration.state.placement import Taken
from testbed.models import SavedImage, Testbed
from testbed.pages.estimate import estimate
from testbed.reservations.held import held_now
from testbed.testbeds.capacity import Room, parties, rooms, taken_by_others
from testbed.testbeds.findings import closed_hosts, known_hosts
from testbed.testbeds.planning import has_edited_files, is_edited, wanted_state

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


def pending_changes(testbed: Testbed, state: State | None) -> Pending | None:
    """Return an edit's changes; None when nothing was edited or deployed."""
    if state is None:
        return None
    project = testbed.project
    is_due = is_edited(testbed, state) or has_edited_files(testbed, state)
    if not (is_due or project.has_unfinished_change()):
        return None
    taken = tuple(sorted(taken_by_others(testbed).items()))
    return _pending(testbed.pk, testbed.condition, _fingerprint(testbed), taken)


def _fingerprint(testbed: Testbed) -> tuple[object, ...]:
    """Return a cheap key of everything that the changes follow from."""
    project = testbed.project
    files = [project.state_file, project.deployed_file, project.markers_file]
    files.append(settings.LOCAL_CATALOGUE)
    stats = [path.stat() if path.exists() else None for path in files]
    return (
        project.yaml_sha256(),
        tuple((s.st_ino, s.st_mtime_ns, s.st_size) if s else None for s in stats),
        look_at(project.files),
        tuple(known_hosts()),
        closed_hosts(),
        held_now(parties()),
        tuple(SavedImage.objects.usable_by(testbed.owner).values_list("pk", flat=True)),
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
