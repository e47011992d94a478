"""Saves the things on the hosts, and the parts of a testbed that are missing there.

`observation` calls it with its results. Rows are written only where something is new:
most looks find what the one before found. A silent host keeps its rows.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, replace
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from orchestration.errors import StateError
from orchestration.inventory import things as inventory
from orchestration.inventory.drift import missing_parts
from orchestration.inventory.things import DISK_FILE
from testbed.models import Host, Inventory, MissingPart, Testbed
from testbed.models.testbeds import TestbedQuerySet

_FIELDS = [field.name for field in fields(inventory.Thing)]


def save_inventories(
    seen: Iterable[tuple[Host, inventory.Inventory]], now: datetime
) -> None:
    """Save the things on hosts, for the list of orphans, and the disks' sizes."""
    seen = list(seen)
    rows = Inventory.objects.filter(host__in=[host.pk for host, _ in seen])
    known = {row.host_id: row for row in rows}
    unchanged = []
    for host, held in seen:
        wanted = {"things": list(map(_fields, held.things)), "disks": _disks(held)}
        if (row := known.get(host.pk)) is None:
            defaults: dict[str, object] = {"looked_at": now, **wanted}
            Inventory.objects.update_or_create(host=host, defaults=defaults)
            continue
        # The things are much more than the rest, and change rarely.
        changes = {
            key: value for key, value in wanted.items() if vars(row)[key] != value
        }
        if changes:
            Inventory.objects.filter(pk=row.pk).update(looked_at=now, **changes)
        else:
            unchanged.append(row.pk)
    Inventory.objects.filter(pk__in=unchanged).update(looked_at=now)


def _fields(thing: inventory.Thing) -> dict[str, str | bool]:
    """Return a thing as its row has it; `asdict` takes ten times as long."""
    return {name: getattr(thing, name) for name in _FIELDS}


def _disks(seen: inventory.Inventory) -> dict[str, dict[str, int]] | None:
    """Return the bytes that guests' disks take, by testbed and file."""
    if seen.files is None:
        return None
    found: dict[str, dict[str, int]] = {}
    for (testbed, name), taken in seen.files.items():
        if name.endswith(DISK_FILE):
            found.setdefault(testbed, {})[name] = taken
    return found


def seen_since(began: datetime) -> set[str]:
    """Return the hosts with a saved look that began later.

    A look with a future time is from before the clock was set back, and not newer.
    """
    later = Inventory.objects.filter(looked_at__gt=began, looked_at__lte=timezone.now())
    return set(later.values_list("host__name", flat=True))


class Shares:
    """The hosts' things by testbed, so that no testbed searches all of them.

    A thing that carries a number only is in every testbed's share.
    """

    def __init__(self, seen: Mapping[str, inventory.Inventory]) -> None:
        self.hosts = frozenset(seen)
        self._seen = seen
        self._things: dict[str, dict[str, list[inventory.Thing]]] = {}
        for host, held in seen.items():
            for thing in held.things:
                of_testbed = self._things.setdefault(thing.testbed, {})
                of_testbed.setdefault(host, []).append(thing)

    def of(self, testbed: str) -> dict[str, inventory.Inventory]:
        """Return one testbed's things on each host."""
        mine, unnamed = self._things.get(testbed, {}), self._things.get("", {})
        return {
            host: replace(
                held, things=(*mine.get(host, ()), *unnamed.get(host, ())), domains=()
            )
            for host, held in self._seen.items()
        }


def known_missing(testbeds: TestbedQuerySet) -> dict[int, list[MissingPart]]:
    """Return the missing parts of these testbeds by their numbers of rows, in order."""
    found: dict[int, list[MissingPart]] = {}
    for part in MissingPart.objects.filter(testbed__in=testbeds.order_by()):
        found.setdefault(part.testbed_id, []).append(part)
    return found


def save_missing(
    testbed: Testbed,
    old: Sequence[MissingPart],
    shares: Shares,
    firewalls: Mapping[str, str],
) -> bool:
    """Save the missing parts of a testbed's network; return whether there are some.

    There are none when it is not up. `old` are those that are saved. `firewalls` has the
    digest of each guarded host's ruleset.
    """
    kept: list[MissingPart] = []
    found: list[MissingPart] = []
    if testbed.condition in Testbed.DEPLOYED:
        kept = [part for part in old if part.host not in shares.hosts]
        found = _found(testbed, shares, firewalls)
    wanted = [(part.kind, part.name, part.host, part.text) for part in (*kept, *found)]
    if wanted != [(part.kind, part.name, part.host, part.text) for part in old]:
        with transaction.atomic():
            MissingPart.objects.filter(testbed=testbed).delete()
            MissingPart.objects.bulk_create(
                MissingPart(testbed=testbed, kind=kind, name=name, host=host, text=text)
                for kind, name, host, text in wanted
            )
    return bool(wanted)


def _found(
    testbed: Testbed, shares: Shares, firewalls: Mapping[str, str]
) -> list[MissingPart]:
    try:
        state = testbed.project.read_state()
    except StateError:
        return []
    return [
        MissingPart(kind=part.kind, name=part.name, host=part.host, text=part.text)
        for part in missing_parts(state, shares.of(testbed.key), firewalls)
    ]
