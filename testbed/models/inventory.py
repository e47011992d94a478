"""The things on the hosts besides guests, their snapshots, and the missing parts.

Written by the periodic observation only. Pages compare, list and count these rows;
none of them asks a host.
"""

from django.db import models
from pydantic import TypeAdapter, ValidationError

from orchestration.providers.libvirt.snapshots.text import Snapshot
from testbed.models.hosts import Host
from testbed.models.testbeds import Testbed

SNAPSHOTS = TypeAdapter(tuple[Snapshot, ...])


class Inventory(models.Model):
    """Everything with our tags on one host when it last answered.

    `things` are `orchestration.inventory.things.Thing`s as JSON. `disks` has the bytes
    that each disk of a guest takes there, by testbed and file; None where they could
    not be listed.
    """

    host = models.OneToOneField(Host, on_delete=models.CASCADE)
    things = models.JSONField(default=list)
    disks = models.JSONField(null=True)
    looked_at = models.DateTimeField()

    class Meta:
        verbose_name_plural = "inventories"

    def __str__(self) -> str:
        return f"{self.host}: {len(self.things)} things"


class MissingPart(models.Model):
    """A missing part of a deployed network; `text` is a sentence about it."""

    testbed = models.ForeignKey(
        Testbed, on_delete=models.CASCADE, related_name="missing_parts"
    )
    kind = models.CharField(max_length=12)
    name = models.CharField(max_length=120)
    host = models.CharField(max_length=40)
    text = models.CharField(max_length=250)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return self.text


class ObservedSnapshots(models.Model):
    """A guest's snapshots on its host; a guest without any has no row.

    `snapshots` are `orchestration…snapshots.text.Snapshot`s as JSON, parents first, as
    they were at `read_at`. At `observed_at` their names were the same. `disk_bytes` is
    what the guest's disk takes with them.
    """

    testbed = models.ForeignKey(
        Testbed, on_delete=models.CASCADE, related_name="observed_snapshots"
    )
    name = models.CharField(max_length=64)
    host = models.CharField(max_length=40)
    signature = models.TextField()
    snapshots = models.JSONField(default=list)
    disk_bytes = models.BigIntegerField(default=0)
    read_at = models.DateTimeField()
    observed_at = models.DateTimeField()

    class Meta:
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(
                fields=["testbed", "name"], name="one_row_of_snapshots_per_guest"
            ),
        )

    def __str__(self) -> str:
        return f"{self.name}: {len(self.snapshots)} snapshots"

    def read(self) -> tuple[Snapshot, ...]:
        """Return the snapshots; none of a row that another version wrote."""
        try:
            return SNAPSHOTS.validate_python(self.snapshots)
        except ValidationError:
            return ()
