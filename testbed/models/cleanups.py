"""Deleting in the background, orphans or images: what was asked for, and how it went."""

from django.conf import settings
from django.db import models

SHOWN = 5


class CleanupQuerySet(models.QuerySet["Cleanup"]):
    """The deletions that a page lists."""

    def latest_of(self, subject: str) -> "CleanupQuerySet":
        """Return the last deletions of orphans, or of images, with who asked."""
        return self.filter(subject=subject).select_related("asked_by")[:SHOWN]


class Cleanup(models.Model):
    """The deletion of everything that was listed under one name, asked for once.

    `subject` says what the things are. A worker owns a running one while `seen_at` is fresh.
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
        """Say whether nothing more will happen."""
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
