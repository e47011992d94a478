"""The limits that an admin gives one user in place of the installation's."""

from django.conf import settings
from django.db import models


class Allowance(models.Model):
    """A user's own limits; an empty one is the installation's."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="allowance"
    )
    testbeds = models.PositiveIntegerField(null=True, blank=True)
    sockets = models.PositiveIntegerField(
        "open run pages",
        null=True,
        blank=True,
        help_text="Each open page of a run is one, as is each client that follows one.",
    )
    testbed_mib = models.PositiveIntegerField(
        "MiB of files in one testbed", null=True, blank=True
    )
    user_mib = models.PositiveIntegerField(
        "MiB of files in all testbeds", null=True, blank=True
    )
    testbed_disk_gib = models.PositiveIntegerField(
        "GiB of disks in one testbed",
        null=True,
        blank=True,
        help_text="Disks count with their full size, seeds with their contexts.",
    )
    user_disk_gib = models.PositiveIntegerField(
        "GiB of disks in all testbeds", null=True, blank=True
    )
    testbed_log_mib = models.PositiveIntegerField(
        "MiB of runs' logs in one testbed", null=True, blank=True
    )
    user_log_mib = models.PositiveIntegerField(
        "MiB of runs' logs in all testbeds", null=True, blank=True
    )

    class Meta:
        ordering = ("user__username",)

    def __str__(self) -> str:
        return f"allowance of {self.user}"
