"""Looks at the snapshots of a host's guests, and saves them.

`observation` calls it with its other looks; pages read the rows. Names and the current
snapshot are asked at each look. All else is read again where these changed, after a run
on snapshots of the testbed, and every few minutes for changes by other programs.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from django.db import transaction
from django.db.models import Max
from django.utils import timezone

from orchestration.hosts import Host as OpenHost
from orchestration.inventory import snapshots as inventory
from orchestration.inventory.snapshots import GuestSnapshots
from orchestration.plan.model import Command
from orchestration.providers.libvirt.snapshots.listing import Owner
from orchestration.transport.base import Scope
from testbed.models import LabSnapshot, ObservedSnapshots, Run, Testbed
from testbed.models.inventory import SNAPSHOTS

READ_AGAIN = timedelta(minutes=5)


class SnapshotsOfHost(NamedTuple):
    """The findings of one look at one host, and its time."""

    host: str
    found: tuple[GuestSnapshots, ...]
    read_at: datetime


def known_snapshots() -> dict[str, dict[Owner, str]]:
    """Return by host the signatures of the guests whose rows are new enough."""
    now = timezone.now()
    new = ObservedSnapshots.objects.filter(
        read_at__gt=now - READ_AGAIN, read_at__lte=now
    )
    rows = new.only("testbed__slug", "name", "host", "signature", "read_at")
    found: dict[str, dict[Owner, str]] = {}
    changed = _last_changes(set(new.values_list("testbed", flat=True)))
    for row in rows.select_related("testbed"):
        at = changed.get(row.testbed_id)
        if at is None or row.read_at > at:
            owner = (row.testbed.slug, row.name)
            found.setdefault(row.host, {})[owner] = row.signature
    return found


def look_at_snapshots(
    host: OpenHost, known: Mapping[Owner, str]
) -> tuple[GuestSnapshots, ...]:
    """Read the snapshots on a host. Raises: HostUnreachable, LibvirtFailed."""
    return inventory.observe(host, known, scope=Scope())


def save_snapshots(looks: Iterable[SnapshotsOfHost]) -> None:
    """Save the snapshots; a guest without any loses its row."""
    looks = list(looks)
    testbeds = dict(Testbed.objects.values_list("slug", "pk"))
    seen: dict[str, dict[Owner, bool]] = {}
    for look in looks:
        for guest in look.found:
            if (testbed := testbeds.get(guest.owner[0])) is None:
                continue
            is_same = guest.snapshots is None
            seen.setdefault(look.host, {})[guest.owner] = is_same
            if not is_same:
                _save(testbed, guest, look)
    _keep(looks, seen)


def _keep(
    looks: Iterable[SnapshotsOfHost], seen: Mapping[str, Mapping[Owner, bool]]
) -> None:
    """Note the look at guests whose snapshots are the same; remove those without any.

    `seen` says of each guest by host whether they are the same.
    """
    times = {look.host: look.read_at for look in looks}
    rows = ObservedSnapshots.objects.filter(host__in=times)
    kept: dict[str, list[int]] = {}
    gone = []
    for pk, host, *owner in rows.values_list("pk", "host", "testbed__slug", "name"):
        match seen.get(host, {}).get((owner[0], owner[1])):
            case None:
                gone.append(pk)
            case True:
                kept.setdefault(host, []).append(pk)
    for host, numbers in kept.items():
        same = ObservedSnapshots.objects.filter(pk__in=numbers)
        same.update(observed_at=times[host])
    if gone:
        ObservedSnapshots.objects.filter(pk__in=gone).delete()


def _save(testbed: int, guest: GuestSnapshots, look: SnapshotsOfHost) -> None:
    found = guest.snapshots or ()
    with transaction.atomic():
        row, _ = ObservedSnapshots.objects.update_or_create(
            testbed_id=testbed,
            name=guest.owner[1],
            defaults={
                "host": look.host,
                "signature": guest.signature,
                "snapshots": SNAPSHOTS.dump_python(found, mode="json"),
                "disk_bytes": guest.disk_bytes,
                "read_at": look.read_at,
                "observed_at": look.read_at,
            },
        )
        LabSnapshot.objects.replace(row, found)


def _last_changes(testbeds: Iterable[int]) -> dict[int, datetime]:
    """Return when the last run on snapshots of each testbed ended."""
    runs = Run.objects.filter(testbed__in=testbeds, command=Command.SNAPSHOT)
    ended = runs.filter(ended_at__isnull=False).values_list("testbed")
    return dict(ended.annotate(at=Max("ended_at")).order_by())
