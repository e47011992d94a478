"""The snapshots of guests as last observed."""

from django.db import models

from testbed.models.testbeds import Testbed


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
