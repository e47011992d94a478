"""The limits that an admin gives one user, or a group, in place of the installation's."""

from django.conf import settings
from django.contrib.auth.models import Group
from django.db import models


class Quota(models.Model):
    """The most that the testbeds which are charged to one account may use together.

    An empty value is the installation's.
    """

    testbeds = models.PositiveIntegerField(null=True, blank=True)
    guests = models.PositiveIntegerField(
        "guests of testbeds that are up", null=True, blank=True
    )
    vcpus = models.PositiveIntegerField(
        "vCPUs of testbeds that are up", null=True, blank=True
    )
    memory_gib = models.PositiveIntegerField(
        "GiB of memory of testbeds that are up", null=True, blank=True
    )
    runs = models.PositiveIntegerField(
        "runs at once",
        null=True,
        blank=True,
        help_text="Of runs that change a testbed; further ones of Up wait.",
    )
    user_disk_gib = models.PositiveIntegerField(
        "GiB of disks in all testbeds", null=True, blank=True
    )

    class Meta:
        abstract = True


class Allowance(Quota):
    """A user's own limits; an empty one is the installation's."""

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="allowance"
    )
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


class GroupAllowance(Quota):
    """A group's quota: with one, testbeds of its members can be charged to the group."""

    group = models.OneToOneField(
        Group, on_delete=models.CASCADE, related_name="allowance"
    )

    class Meta:
        ordering = ("group__name",)

    def __str__(self) -> str:
        return f"allowance of group {self.group}"
