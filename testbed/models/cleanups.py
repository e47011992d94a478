"""Deletions in the background, of orphans or images: their items and outcomes."""

from collections.abc import Iterable

from django.conf import settings
from django.contrib.auth.models import User
from django.db import IntegrityError, models, transaction

from orchestration.errors import TestbedBusy

SHOWN = 5
# Host, kind and name of a thing.
Listed = tuple[str, str, str]


class CleanupQuerySet(models.QuerySet["Cleanup"]):
    """The deletions that a page lists."""

    def latest_of(self, subject: str) -> "CleanupQuerySet":
        """Return the last deletions of orphans, or of images, with their users."""
        return self.filter(subject=subject).select_related("asked_by")[:SHOWN]

    def begin(
        self, name: str, user: User, things: Iterable[Listed], *, subject: str
    ) -> "Cleanup":
        """Create the only deletion of a name that may be active, with its items.

        Raises: TestbedBusy.
        """
        try:
            with transaction.atomic():
                cleanup = self.create(name=name, asked_by=user, subject=subject)
        except IntegrityError as exc:
            what = (
                "Unused images"
                if subject == Cleanup.Subject.IMAGES
                else f"The orphans of {name}"
            )
            raise TestbedBusy(
                f"{what} are being deleted already.", hint="Wait until that is over."
            ) from exc
        CleanupItem.objects.bulk_create(
            CleanupItem(cleanup=cleanup, host=host, kind=kind, name=thing)
            for host, kind, thing in things
        )
        return cleanup


class Cleanup(models.Model):
    """The deletion of everything that was listed under one name, requested once.

    `subject` is the sort of the items. A worker owns a running one while `seen_at` is
    fresh.
    """

    class Subject(models.TextChoices):
        ORPHANS = "orphans"
        IMAGES = "images"

    class Status(models.TextChoices):
        PENDING = "pending"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        FAILED = "failed"

    ACTIVE = (Status.PENDING, Status.RUNNING)

    subject = models.CharField(
        max_length=8, choices=Subject.choices, default=Subject.ORPHANS
    )
    name = models.CharField(max_length=64)
    asked_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    status = models.CharField(
        max_length=12, choices=Status.choices, default=Status.PENDING
    )
    message = models.TextField(blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    started_at = models.DateTimeField(null=True, blank=True)
    seen_at = models.DateTimeField(null=True, blank=True)
    ended_at = models.DateTimeField(null=True, blank=True)

    objects = CleanupQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)
        constraints = (
            models.UniqueConstraint(
                fields=["name"],
                condition=models.Q(status__in=["pending", "running"]),
                name="one_active_cleanup_per_name",
            ),
        )

    def __str__(self) -> str:
        return f"{self.subject}: {self.name}: {self.status}"

    @property
    def is_over(self) -> bool:
        """Return whether the deletion has ended."""
        return self.status not in self.ACTIVE


class CleanupItem(models.Model):
    """One thing that is to be deleted; `message` says why it was not."""

    class Status(models.TextChoices):
        WAITING = "waiting"
        DONE = "done"
        UNCHANGED = "unchanged"
        FAILED = "failed"

    cleanup = models.ForeignKey(Cleanup, on_delete=models.CASCADE, related_name="items")
    host = models.CharField(max_length=40)
    kind = models.CharField(max_length=12)
    name = models.CharField(max_length=255)
    status = models.CharField(
        max_length=12, choices=Status.choices, default=Status.WAITING
    )
    message = models.TextField(blank=True)

    class Meta:
        ordering = ("id",)

    def __str__(self) -> str:
        return f"{self.kind} {self.name} on {self.host}: {self.status}"
