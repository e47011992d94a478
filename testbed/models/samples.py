"""The load of guests and hosts over time, packed: thousands of figures in a row.

One row a look for each testbed, and one for each host; after an hour, one row of minute
means for each guest and host. `testbed/samples/` writes, packs and reads them.
"""

from django.db import models
from django.db.models import Q

from testbed.models.hosts import Host
from testbed.models.testbeds import Testbed

_ONE_OWNER = Q(testbed=None, host__isnull=False) | Q(testbed__isnull=False, host=None)


class Sample(models.Model):
    """The figures of a testbed's active guests in one look, or those of a host.

    `names` has a line for each guest, `figures` their records in the same order. That
    of a host is one record without a name.
    """

    testbed = models.ForeignKey(
        Testbed, on_delete=models.CASCADE, null=True, db_index=False
    )
    host = models.ForeignKey(Host, on_delete=models.CASCADE, null=True, db_index=False)
    taken_at = models.DateTimeField(db_index=True)
    names = models.TextField(blank=True)
    figures = models.BinaryField()

    class Meta:
        ordering = ("taken_at",)
        indexes = (
            models.Index(fields=["testbed", "taken_at"], name="samples_of_testbed"),
            models.Index(fields=["host", "taken_at"], name="samples_of_host"),
        )
        constraints = (
            models.CheckConstraint(condition=_ONE_OWNER, name="sample_has_one_owner"),
        )

    def __str__(self) -> str:
        return f"{self.testbed or self.host} at {self.taken_at}"


class SampleHour(models.Model):
    """The means of each minute of one hour: 60 records of a guest, or of a host."""

    testbed = models.ForeignKey(
        Testbed, on_delete=models.CASCADE, null=True, db_index=False
    )
    host = models.ForeignKey(Host, on_delete=models.CASCADE, null=True, db_index=False)
    name = models.CharField(max_length=64, blank=True)
    began_at = models.DateTimeField(db_index=True)
    figures = models.BinaryField()

    class Meta:
        ordering = ("began_at",)
        constraints = (
            models.UniqueConstraint(
                fields=["testbed", "name", "began_at"],
                condition=Q(host=None),
                name="one_hour_of_a_guest",
            ),
            models.UniqueConstraint(
                fields=["host", "began_at"],
                condition=Q(testbed=None),
                name="one_hour_of_a_host",
            ),
            models.CheckConstraint(
                condition=_ONE_OWNER, name="sample_hour_has_one_owner"
            ),
        )

    def __str__(self) -> str:
        return f"{self.testbed or self.host} {self.name} from {self.began_at}"
