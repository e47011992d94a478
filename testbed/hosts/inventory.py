"""Saves the things on the hosts, and the parts of a testbed that are missing there.

`observation` calls it with its results. Rows are written only where something is new:
most looks find what the one before found. A silent host keeps its rows.
"""

from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import datetime

from django.db import transaction
from django.utils import timezone

from orchestration.errors import StateError
from orchestration.inventory import things as inventory
from orchestration.inventory.drift import missing_parts
from orchestration.inventory.things import DISK_FILE
from testbed.models import Host, Inventory, MissingPart, Testbed


def save_inventory(host: Host, seen: inventory.Inventory, now: datetime) -> None:
    """Save the things on one host, for the list of orphans, and the disks' sizes."""
    things = [asdict(thing) for thing in seen.things]
    wanted: dict[str, object] = {"looked_at": now, "disks": _disks(seen)}
    known = Inventory.objects.filter(host=host).first()
    if known is None or known.things != things:
        wanted["things"] = things  # much more than the rest, and it changes rarely
    if known is None:
        Inventory.objects.update_or_create(host=host, defaults=wanted)
    else:
        Inventory.objects.filter(pk=known.pk).update(**wanted)


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


def save_missing(
    testbed: Testbed, shares: Shares, firewalls: Mapping[str, str]
) -> bool:
    """Save the missing parts of a testbed's network; return whether there are some.

    There are none when it is not up. `firewalls` has the digest of each guarded host's
    ruleset.
    """
    old = list(testbed.missing_parts.all())
    kept = [part for part in old if part.host not in shares.hosts]
    if testbed.condition not in Testbed.DEPLOYED:
        kept = found = []
    else:
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
