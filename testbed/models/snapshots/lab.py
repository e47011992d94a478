"""Each snapshot of the lab as one row, for the list that lab admins filter and sum.

The truth is `ObservedSnapshots`, one row a guest, which pages of one testbed read. The
look that writes it replaces these rows in the same transaction.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any, NamedTuple

from django.db import models
from django.db.models import Max, Sum

from orchestration.providers.libvirt.snapshots.text import Snapshot
from testbed.models.inventory import ObservedSnapshots
from testbed.models.testbeds import Testbed

# As many as an address of a page may name.
MOST_CHOSEN = 200
LATEST_S = 253_402_300_799  # the end of the year 9999


def time_of(created_s: int) -> datetime:
    """Return a snapshot's time: libvirt takes any from other programs."""
    return datetime.fromtimestamp(min(max(0, created_s), LATEST_S), UTC)


class StoredBytes(NamedTuple):
    """The memory that a guest's snapshots store, and what its disk takes with them."""

    memory_bytes: int
    disk_bytes: int


class LabSnapshotQuerySet(models.QuerySet["LabSnapshot"]):
    """Replaces the rows of a guest, and sums them."""

    def stored_in(
        self, testbeds: Iterable[Testbed]
    ) -> dict[int, dict[tuple[str, str], StoredBytes]]:
        """Return the bytes of the guests that have any, by testbed, host and name."""
        found: dict[int, dict[tuple[str, str], StoredBytes]] = {}
        rows = self.filter(guest__testbed__in=testbeds).order_by()
        places = rows.values_list("guest__testbed", "guest__host", "guest__name")
        sums = places.annotate(Sum("memory_bytes"), Max("guest__disk_bytes"))
        for testbed, host, guest, memory_bytes, disk_bytes in sums:
            stored = StoredBytes(memory_bytes, disk_bytes)
            found.setdefault(testbed, {})[host, guest] = stored
        return found

    def replace(self, guest: ObservedSnapshots, found: Iterable[Snapshot]) -> None:
        """Write a guest's snapshots in place of those of the look before.

        Rows of snapshots that are still there keep their keys, which an open page has.
        """
        wanted = [_values(one) for one in found]
        rows = {(row.name, row.created_s): row for row in self.filter(guest=guest)}
        there = {(values["name"], values["created_s"]) for values in wanted}
        gone = [row.pk for key, row in rows.items() if key not in there]
        self.filter(pk__in=gone).delete()
        new = []
        for values in wanted:
            if (row := rows.get((values["name"], values["created_s"]))) is None:
                new.append(LabSnapshot(guest=guest, **values))
            elif any(getattr(row, name) != value for name, value in values.items()):
                self.filter(pk=row.pk).update(**values)
        self.bulk_create(new)


class LabSnapshot(models.Model):
    """One snapshot of a guest, as the last look read it."""

    guest = models.ForeignKey(
        ObservedSnapshots, on_delete=models.CASCADE, related_name="listed"
    )
    name = models.TextField("name in virsh")
    title = models.TextField("name")
    by = models.TextField("taken by", blank=True)
    status = models.CharField("guest was", max_length=16)
    taken_at = models.DateTimeField(db_index=True)
    created_s = models.BigIntegerField()
    memory_bytes = models.BigIntegerField("memory", default=0)
    has_memory = models.BooleanField()
    is_outside = models.BooleanField("made outside")
    is_external = models.BooleanField("external")
    is_current = models.BooleanField("current")

    objects = LabSnapshotQuerySet.as_manager()

    class Meta:
        verbose_name = "snapshot"
        ordering = ("-taken_at", "-id")

    def __str__(self) -> str:
        return f"{self.title} of {self.guest.name}"


def _values(found: Snapshot) -> dict[str, Any]:
    return {
        "name": found.name,
        "title": found.title,
        "by": found.label.by,
        "status": found.status[:16],
        "taken_at": time_of(found.created_at),
        "created_s": found.created_at,
        "memory_bytes": found.memory_bytes,
        "has_memory": found.has_memory,
        "is_outside": found.is_outside,
        "is_external": found.is_external,
        "is_current": found.is_current,
    }
