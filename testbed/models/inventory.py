"""The things on the hosts besides guests, and the parts that are missing there.

Written by the periodic observation only. Pages compare, list and count these rows;
none of them asks a host.
"""

from django.db import models

from testbed.models.hosts import Host
from testbed.models.testbeds import Testbed


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
