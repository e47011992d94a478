"""The snapshots of a testbed's guests, as last observed, or as kept while they are down.

From rows and files only. The number of queries does not grow with the testbed.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import dropwhile, takewhile

from orchestration.inventory.snapshots import kept_snapshots
from orchestration.providers.libvirt.snapshots.text import Snapshot
from testbed.models import ObservedSnapshots, Testbed
from testbed.models.snapshots.lab import time_of
from testbed.pages.overview import GuestRow, guests_of, state_of

# Deeper branches are not indented further: a narrow page has no room.
MOST_INDENTS = 6
Json = dict[str, object]


@dataclass(frozen=True, slots=True)
class Node:
    """One snapshot of a tree; `depth` counts those above it."""

    snapshot: Snapshot
    depth: int

    @property
    def indent(self) -> int:
        """How far it is indented."""
        return min(self.depth, MOST_INDENTS)

    @property
    def created_at(self) -> datetime:
        """The time at which it was taken, by its host's clock."""
        return time_of(self.snapshot.created_at)

    def to_json(self) -> Json:
        """Return the snapshot for programs, as docs/protocol.md shows it."""
        found = self.snapshot
        return {
            "name": found.name,
            "title": found.title,
            "description": found.description,
            "parent": found.parent,
            "current": found.is_current,
            "status": found.status,
            "memory": found.has_memory,
            "memory_bytes": found.memory_bytes,
            "created_at": self.created_at,
            "by": found.label.by,
            "schedule": found.label.schedule,
            "outside": found.is_outside,
            "external": found.is_external,
            "group": bool(found.label.group),
        }


@dataclass(frozen=True, slots=True)
class GuestTree:
    """A guest with its snapshots as a tree, each after its parent.

    `seen` is the row of the last look, None for a guest without snapshots. `is_kept`:
    the guest is not defined on its host, and the next Up gives libvirt these records.
    """

    row: GuestRow
    nodes: tuple[Node, ...]
    seen: ObservedSnapshots | None = None
    is_kept: bool = False

    @property
    def disk_bytes(self) -> int:
        """The bytes that its disk took with its snapshots; 0 where nobody read it."""
        return self.seen.disk_bytes if self.seen else 0

    @property
    def current(self) -> Node | None:
        """The snapshot that its disk was last taken as, or restored to."""
        return next((one for one in self.nodes if one.snapshot.is_current), None)

    @property
    def is_mixed(self) -> bool:
        """Return whether another program made external snapshots."""
        return any(one.snapshot.is_external for one in self.nodes)

    def named(self, name: str) -> Node | None:
        """Return the snapshot of this name, which is libvirt's."""
        return next((one for one in self.nodes if one.snapshot.name == name), None)

    def below(self, name: str) -> tuple[Snapshot, ...]:
        """Return all that are below a snapshot: they follow it, deeper than it is."""
        rest = dropwhile(lambda one: one.snapshot.name != name, self.nodes)
        if (top := next(rest, None)) is None:
            return ()
        under = takewhile(lambda one: one.depth > top.depth, rest)
        return tuple(one.snapshot for one in under)

    def to_json(self) -> Json:
        """Return the tree for programs."""
        return {
            "guest": self.row.guest.name,
            "host": self.row.guest.host,
            "status": self.row.status,
            "observed_at": self.seen.observed_at if self.seen else None,
            "kept": self.is_kept,
            "disk_bytes": self.disk_bytes,
            "snapshots": [node.to_json() for node in self.nodes],
        }


def trees_of(testbed: Testbed, names: Collection[str] | None = None) -> list[GuestTree]:
    """Return the guests, or those named, with their snapshots."""
    seen = {row.name: row for row in testbed.observed_snapshots.all()}
    rows = guests_of(testbed, state_of(testbed)[0])
    return [
        _tree(testbed, row, seen.get(row.guest.name))
        for row in rows
        if names is None or row.guest.name in names
    ]


def _tree(testbed: Testbed, row: GuestRow, seen: ObservedSnapshots | None) -> GuestTree:
    if seen is not None:
        return GuestTree(row, tuple(_nodes(seen.read())), seen)
    if row.observed is not None:  # its domain is there, without any
        return GuestTree(row, ())
    found = kept_snapshots(testbed.project, row.guest.name)
    return GuestTree(row, tuple(_nodes(found)), is_kept=bool(found))


def _nodes(found: tuple[Snapshot, ...]) -> Iterator[Node]:
    """Yield the snapshots, each before those below it, siblings by their time.

    Without recursion: a chain may be longer than Python's stack.
    """
    found = tuple(sorted(found, key=lambda one: (one.created_at, one.name)))
    names = {one.name for one in found}
    children: dict[str, list[Snapshot]] = {}
    for one in found:
        above = one.parent if one.parent in names else ""
        children.setdefault(above, []).append(one)
    waiting = [(one, 0) for one in reversed(children.get("", ()))]
    while waiting:
        one, depth = waiting.pop()
        yield Node(one, depth)
        own = children.get(one.name, ())
        waiting += [(child, depth + 1) for child in reversed(own)]
