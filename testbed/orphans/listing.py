"""Orphans for an admin: listed by name and host, deleted by a worker, or adopted.

Called by the orphans' page and by the commands. The list is the last periodic
observation; only `orphans_of`, for a command, asks a host. `detection` decides what is
an orphan, `adoption` brings a lost testbed back.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial

from django.contrib.auth.models import User
from django.db import transaction

from orchestration.amounts import count_of
from orchestration.errors import StateError, TestbedBusy, TestbedError
from orchestration.hosts import Hosts
from orchestration.inventory.orphans import Key
from orchestration.inventory.things import ThingKind
from orchestration.transport.base import Scope
from testbed.access.record import write
from testbed.celery import request_cleanup
from testbed.models import Cleanup, Host, Inventory, Testbed
from testbed.models.protection import require_unprotected
from testbed.models.record.entries import ORPHANS
from testbed.orphans.deletion import seen_now
from testbed.orphans.detection import Orphan, last_observations, orphans_among


@dataclass(frozen=True, slots=True)
class OnHost:
    """The orphans of one name on one host."""

    host: str
    orphans: tuple[Orphan, ...]


@dataclass(frozen=True, slots=True)
class Group:
    """All orphans of one name; `testbed` is set when the testbed exists."""

    name: str
    hosts: tuple[OnHost, ...]
    testbed: Testbed | None

    @property
    def orphans(self) -> tuple[Orphan, ...]:
        """All of them, host by host."""
        return tuple(orphan for host in self.hosts for orphan in host.orphans)


def orphan_groups(orphans: Iterable[Orphan] | None = None) -> list[Group]:
    """Return these orphans, or those of all hosts as last seen, by name."""
    found: dict[str, list[Orphan]] = {}
    for orphan in orphans_among(last_observations()) if orphans is None else orphans:
        found.setdefault(orphan.name, []).append(orphan)
    testbeds = Testbed.objects.select_related("owner").in_bulk(
        list(found), field_name="slug"
    )
    return [
        Group(name, _by_host(found[name]), testbeds.get(name)) for name in sorted(found)
    ]


def group_named(name: str) -> Group:
    """Return the orphans of one name. Raises: StateError when there are none."""
    for group in orphan_groups():
        if group.name == name:
            return group
    raise StateError(
        f"There are no orphans of {name} (any more).",
        hint="Look at the list again.",
    )


def oldest_look() -> datetime | None:
    """Return the time of the oldest look at a host; None before the first look."""
    return (
        Inventory.objects.order_by("looked_at")
        .values_list("looked_at", flat=True)
        .first()
    )


def delete_orphans(name: str, confirmed: str, user: User) -> Cleanup:
    """Request the deletion of all orphans of a name by a worker.

    Raises: StateError (not confirmed by typing the name, none there), TestbedBusy,
    Protected.
    """
    if confirmed.strip() != name:
        raise StateError(
            f"The name was not typed as it is: {name}.",
            hint="Nothing was deleted. Type it exactly to delete what it lists.",
        )
    group = group_named(name)
    if group.testbed is not None:  # their folders may hold disks of its guests
        require_unprotected(group.testbed, None)
    found = _ask(name, user, [orphan.key for orphan in group.orphans])
    count = count_of(found.items.count(), "thing")
    write(user, ORPHANS, f"asked to delete {count}", thing=found.name)
    return found


def clean_up_after(testbed: Testbed) -> Cleanup | None:
    """Request the deletion of a removed testbed's folders on the other hosts.

    These hold disks that `down` keeps. Main's folder is removed with the row.
    """
    mains = set(Host.objects.filter(is_main=True).values_list("name", flat=True))
    hosts = [
        seen.host
        for seen in last_observations()
        for thing in seen.things
        if thing.kind is ThingKind.FOLDER and thing.testbed == testbed.slug
    ]
    left = [
        (host, ThingKind.FOLDER, testbed.slug) for host in hosts if host not in mains
    ]
    if not left:
        return None
    try:
        return _ask(testbed.slug, testbed.owner, left)
    except TestbedBusy:  # the deletion of all of it was requested already
        return None


def _ask(name: str, user: User, things: Iterable[Key]) -> Cleanup:
    with transaction.atomic():
        cleanup = Cleanup.objects.begin(
            name, user, things, subject=Cleanup.Subject.ORPHANS
        )
        transaction.on_commit(partial(request_cleanup, cleanup.pk))
        return cleanup


def orphans_of(host: Host, hosts: Hosts) -> list[Orphan]:
    """Observe a host now, for a command; a host that does not answer shows none."""
    try:
        return list(seen_now(hosts.open(host.to_state()), Scope()).values())
    except TestbedError:
        return []


def counts(orphans: Iterable[Orphan] | None = None) -> list[str]:
    """Return a line for each host and name with its orphans, for the commands."""
    lines = []
    for group in orphan_groups(orphans):
        for on in group.hosts:
            kinds = ", ".join(f"{o.thing.kind} {o.thing.name}" for o in on.orphans[:5])
            more = f" and {len(on.orphans) - 5} more" if len(on.orphans) > 5 else ""
            lines.append(f"{on.host}: orphans of {group.name}: {kinds}{more}")
    return lines


def _by_host(orphans: Sequence[Orphan]) -> tuple[OnHost, ...]:
    hosts: dict[str, list[Orphan]] = {}
    for orphan in orphans:
        hosts.setdefault(orphan.host, []).append(orphan)
    return tuple(OnHost(host, tuple(found)) for host, found in hosts.items())
