"""Hosts that an admin is adding, with what the checks of their requirements found.

Such a host is in no plan and in no observation: its row becomes a `Host` when everything
that is required was found.
"""

from datetime import timedelta

from django.db import models
from django.db.models import Q
from django.utils import timezone

from testbed.models.hosts import Host, HostAccess

SEND_AGAIN_AFTER = timedelta(seconds=20)
# Each check ends by itself long before.
LOST_AFTER = timedelta(minutes=5)
MOST_TEXT = 1_000


class NewHost(HostAccess):
    """A host that is being added.

    `seen_key` is the key that it answered with first, `host_key` the confirmed one.
    `wanted` says what the workers were last asked for: a requirement, all of them, or
    all of them and then to add the host. `message` says why it was not added.
    """

    class Status(models.TextChoices):
        IDLE = "idle"
        PENDING = "pending"
        RUNNING = "running"

    ALL, ADD = "", "add"

    begun_by = models.CharField(max_length=150)
    created_at = models.DateTimeField(auto_now_add=True)
    seen_key = models.TextField(blank=True)
    confirmed_by = models.CharField(max_length=150, blank=True)
    confirmed_at = models.DateTimeField(null=True, blank=True)
    status = models.CharField(max_length=8, choices=Status.choices, default=Status.IDLE)
    wanted = models.CharField(max_length=20, blank=True)
    asked_by = models.CharField(max_length=150, blank=True)
    asked_at = models.DateTimeField(null=True, blank=True)
    started_at = models.DateTimeField(null=True, blank=True)
    message = models.TextField(blank=True)

    class Meta:
        ordering = ("name",)

    @property
    def is_busy(self) -> bool:
        """Return whether a worker checks it, or is asked to."""
        return self.status != self.Status.IDLE

    def ask(self, wanted: str, by: str) -> bool:
        """Ask for a check unless one is under way; a lost one counts as none."""
        now = timezone.now()
        is_free = Q(status=self.Status.IDLE)
        is_lost = Q(status=self.Status.RUNNING, started_at__lt=now - LOST_AFTER)
        free = NewHost.objects.filter(is_free | is_lost, pk=self.pk)
        values = {"status": self.Status.PENDING, "wanted": wanted, "asked_by": by}
        return bool(free.update(**values, asked_at=now, message=""))

    def claim(self) -> bool:
        """Begin the check that was asked for; False: another worker has it."""
        pending = NewHost.objects.filter(pk=self.pk, status=self.Status.PENDING)
        self.started_at = timezone.now()
        return bool(
            pending.update(status=self.Status.RUNNING, started_at=self.started_at)
        )

    def finish(self, message: str = "") -> None:
        """End the check that this row claimed."""
        mine = NewHost.objects.filter(pk=self.pk, started_at=self.started_at)
        mine.update(status=self.Status.IDLE, message=message)

    def as_host(self) -> Host:
        """Return the host that it will be, not saved."""
        names = [field.name for field in HostAccess._meta.get_fields()]
        return Host(**{name: getattr(self, name) for name in names})


class HostFinding(models.Model):
    """The last check of one requirement of a new host.

    `command` mends what is lacking, `on_main` says where it is run.
    """

    class Outcome(models.TextChoices):
        OK = "ok"
        LACKING = "lacking"
        SKIPPED = "skipped"

    new_host = models.ForeignKey(
        NewHost, on_delete=models.CASCADE, related_name="findings"
    )
    requirement = models.CharField(max_length=20)
    outcome = models.CharField(max_length=8, choices=Outcome.choices)
    observed = models.CharField(max_length=MOST_TEXT)
    command = models.TextField(blank=True)
    on_main = models.BooleanField(default=False)
    checked_at = models.DateTimeField(default=timezone.now)

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["new_host", "requirement"], name="one_finding_per_requirement"
            ),
        )

    def __str__(self) -> str:
        return f"{self.new_host} {self.requirement}: {self.outcome}"
