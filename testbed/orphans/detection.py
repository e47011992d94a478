"""Finds the things on the hosts that belong to no testbed.

`orphans_among` compares observed things with the testbeds' rows and states: for the
admin's page with the last observation, for a deletion with an observation of its own.
A testbed with an active run, or with one that ended after the look, has no orphans: its
things come and go. `things_there` returns the observed things of every testbed.
"""

import logging
import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.db.models import Max, Q

from orchestration.errors import StateError
from orchestration.inventory.orphans import Key, known_things
from orchestration.inventory.things import Thing, ThingKind
from testbed.models import Host, Inventory, Run, Testbed

logger = logging.getLogger(__name__)
NUMBERED = re.compile(r"t(\d{1,4})(?:\D|$)")


# A host and a thing on it.
Held = tuple[str, Thing]


@dataclass(frozen=True, slots=True)
class Orphan:
    """One thing on a host that belongs to no testbed, or that its testbed forgot.

    `name` is the testbed's, or `number 9` where only the number is known.
    """

    host: str
    name: str
    thing: Thing

    @property
    def key(self) -> Key:
        """The key that tells it from all other things."""
        return self.host, self.thing.kind, self.thing.name


@dataclass(frozen=True, slots=True)
class Observation:
    """The things on one host, and the time when they were seen."""

    host: str
    things: tuple[Thing, ...]
    looked_at: datetime


def last_observations(besides: Iterable[str] = ()) -> list[Observation]:
    """Return the last observation of each host, `besides` those with these names."""
    rows = Inventory.objects.select_related("host").order_by("host__name")
    rows = rows.exclude(host__name__in=list(besides))
    return [
        Observation(row.host.name, tuple(map(_thing, row.things)), row.looked_at)
        for row in rows
    ]


def orphans_among(observations: Iterable[Observation]) -> list[Orphan]:
    """Return the things that no testbed claims, host by host."""
    judge = _Judge()
    return [
        Orphan(seen.host, judge.name_of(thing), thing)
        for seen in observations
        for thing in seen.things
        if judge.is_orphan(thing, seen)
    ]


def things_there(observations: Iterable[Observation]) -> dict[str, list[Held]]:
    """Return the things seen of each testbed since its last run, without folders."""
    judge, found = _Judge(), dict[str, list[Held]]()
    for seen in observations:
        for thing in seen.things:
            slug = judge.name_of(thing)
            if thing.kind is not ThingKind.FOLDER and judge.has_settled(slug, seen):
                found.setdefault(slug, []).append((seen.host, thing))
    return found


def speaks_for(testbed: Testbed, held: Iterable[Held]) -> bool:
    """Return whether a testbed's `down` removes one of these; True if it is unknown."""
    things = list(held)
    known = _known(testbed) if things else None
    if known is None:
        return bool(things)
    return any((host, thing.kind, thing.name) in known for host, thing in things)


def orphan_numbers() -> set[int]:
    """Return the numbers in names of orphaned devices, which must not be reused."""
    names = (
        name
        for orphan in orphans_among(last_observations())
        for name in (orphan.thing.name, orphan.thing.place)
    )
    return {int(found[1]) for name in names if (found := NUMBERED.match(name))}


def orphan_names() -> set[str]:
    """Return the keys of testbeds of which hosts have orphans."""
    return {orphan.name for orphan in orphans_among(last_observations())}


class _Judge:
    """The testbeds as they are now, each state read once."""

    def __init__(self) -> None:
        read = ("slug", "number", "created_at", "name", "owner")
        rows = list(Testbed.objects.order_by().only(*read))
        last_end = Max("runs__ended_at", filter=Q(runs__is_exclusive=True))
        slugs = Testbed.objects.order_by().values_list("slug")
        ended = dict(slugs.annotate(last_end=last_end))
        active = Run.objects.changing().values_list("testbed__slug", flat=True)
        mains = Host.objects.filter(is_main=True).values_list("name", flat=True)
        self._testbeds = {row.slug: row for row in rows}
        self._numbers = {row.number: row.slug for row in rows}
        self._since: dict[str, datetime] = {
            row.slug: max(filter(None, (row.created_at, ended[row.slug])))
            for row in rows
        }
        self._busy = set(active)
        self._mains = set(mains)
        self._known: dict[str, frozenset[Key] | None] = {}

    def name_of(self, thing: Thing) -> str:
        """Return the name under which a thing is listed."""
        if thing.testbed:
            return thing.testbed
        found = NUMBERED.match(thing.name)
        number = int(found[1]) if found else -1
        return self._numbers.get(number, f"number {number}")

    def has_settled(self, slug: str, seen: Observation) -> bool:
        """Return whether a look came after the end of a testbed's last run."""
        return slug in self._since and self._since[slug] <= seen.looked_at

    def is_orphan(self, thing: Thing, seen: Observation) -> bool:
        """Return whether no testbed claims a thing."""
        slug = self.name_of(thing)
        if slug not in self._testbeds:
            return True
        if slug in self._busy or not self.has_settled(slug, seen):
            return False
        if thing.kind is ThingKind.FOLDER and seen.host in self._mains:
            return False
        if slug not in self._known:
            self._known[slug] = _known(self._testbeds[slug])
        known = self._known[slug]
        return known is not None and (seen.host, thing.kind, thing.name) not in known


def _known(testbed: Testbed) -> frozenset[Key] | None:
    """Return the things that a testbed claims; None when its state is unreadable."""
    project = testbed.project
    if not project.has_state():
        return frozenset()
    try:
        return known_things(project.read_known())
    except StateError as exc:
        logger.info("%s has no orphans while its state is broken: %s", testbed, exc)
        return None


def _thing(fields: dict[str, str | bool]) -> Thing:
    """Read a thing from its row."""
    return Thing(
        ThingKind(str(fields["kind"])),
        str(fields["name"]),
        str(fields["testbed"]),
        label=str(fields["label"]),
        place=str(fields["place"]),
        is_active=bool(fields["is_active"]),
    )
