"""The Git repository from which a testbed's files come, and the log of its fetches."""

from datetime import datetime, timedelta

from django.db import models
from django.utils import timezone

from testbed.models.testbeds import Testbed

MOST_URL, MOST_BRANCH, MOST_FOLDER = 500, 200, 500
MOST_SAID = 1_000
MOST_KEPT = 100  # fetches of one testbed
# A fetch ends by itself long before.
LOST_AFTER = timedelta(minutes=10)


class Source(models.Model):
    """Where a testbed's files come from, and the commit that was fetched last.

    `seen_key` is the host key that the forge answered with first, `host_key` the
    confirmed one. `public_key` is the public half of the deploy key, whose private half
    is in the testbed's folder. `hook` is the secret part of the webhook's address; with
    `secret` pushes are signed, so both are kept as they are. `manifest` has the SHA-256
    of each file of the last commit, by its path. `trouble` is what the last fetch said,
    unless that succeeded.
    """

    testbed = models.OneToOneField(
        Testbed, on_delete=models.CASCADE, primary_key=True, related_name="source"
    )
    url = models.CharField(max_length=MOST_URL)
    branch = models.CharField(max_length=MOST_BRANCH)
    folder = models.CharField(max_length=MOST_FOLDER, blank=True)
    seen_key = models.TextField(blank=True)
    host_key = models.TextField(blank=True)
    confirmed_by = models.CharField(max_length=150, blank=True)
    public_key = models.CharField(max_length=300, blank=True)
    hook = models.CharField(max_length=64, unique=True)
    secret = models.CharField(max_length=80)
    set_by = models.CharField(max_length=150)
    set_at = models.DateTimeField(default=timezone.now)
    pushed_at = models.DateTimeField(null=True)
    commit = models.CharField(max_length=64, blank=True)
    author = models.CharField(max_length=200, blank=True)
    subject = models.CharField(max_length=300, blank=True)
    committed_at = models.DateTimeField(null=True)
    fetched_at = models.DateTimeField(null=True)
    manifest = models.JSONField(default=dict)
    trouble = models.CharField(max_length=MOST_SAID, blank=True)

    def __str__(self) -> str:
        return f"{self.url} {self.branch}"

    @property
    def short(self) -> str:
        """Return the first digits of the commit."""
        return self.commit[:10]


class FetchQuerySet(models.QuerySet["Fetch"]):
    """Claims fetches, and forgets old ones."""

    def claim(self, pk: int, now: datetime) -> "Fetch | None":
        """Begin a fetch that waits; None: another worker has it, or one of its testbed."""
        busy = Fetch.objects.filter(status=Fetch.Status.RUNNING).values("testbed")
        mine = self.filter(pk=pk, status=Fetch.Status.WAITING).exclude(testbed__in=busy)
        if not mine.update(status=Fetch.Status.RUNNING, started_at=now):
            return None
        return self.select_related("testbed__owner").get(pk=pk)

    def forget(self, testbed: Testbed) -> None:
        """Remove the oldest fetches of a testbed that are above the limit."""
        mine = self.filter(testbed=testbed).order_by("-pk")
        kept = list(mine.values_list("pk", flat=True)[:MOST_KEPT])
        if len(kept) == MOST_KEPT:
            mine.filter(pk__lt=kept[-1]).delete()


class Fetch(models.Model):
    """One fetch: asked for by a user, or by a push (`asked_by` is empty).

    `decision` says what becomes of the files of the conflict that `decides` had.
    `changes` has the paths that it added, changed and removed, those that it kept, and
    the files in conflict with both sides (`sources/comparing.py`).
    """

    class Status(models.TextChoices):
        WAITING = "waiting"
        RUNNING = "running"
        SUCCEEDED = "succeeded"
        CONFLICT = "conflict"
        FAILED = "failed"

    class Decision(models.TextChoices):
        TAKE = "take", "take the repository's files"
        KEEP = "keep", "keep the files here"

    ACTIVE = (Status.WAITING, Status.RUNNING)

    testbed = models.ForeignKey(
        Testbed, on_delete=models.CASCADE, related_name="fetches"
    )
    asked_by = models.CharField(max_length=150, blank=True)
    asked_at = models.DateTimeField(default=timezone.now)
    status = models.CharField(
        max_length=10, choices=Status.choices, default=Status.WAITING
    )
    decision = models.CharField(max_length=4, choices=Decision.choices, blank=True)
    decides = models.ForeignKey(
        "self", null=True, on_delete=models.SET_NULL, related_name="+"
    )
    started_at = models.DateTimeField(null=True)
    ended_at = models.DateTimeField(null=True)
    commit = models.CharField(max_length=64, blank=True)
    author = models.CharField(max_length=200, blank=True)
    subject = models.CharField(max_length=300, blank=True)
    said = models.CharField(max_length=MOST_SAID, blank=True)
    changes = models.JSONField(default=dict)

    objects = FetchQuerySet.as_manager()

    class Meta:
        ordering = ("-pk",)
        indexes = (models.Index(fields=("status",), name="fetches_by_status"),)

    def __str__(self) -> str:
        return f"fetch {self.pk} of {self.testbed}"

    @property
    def is_active(self) -> bool:
        """Return whether it waits or runs."""
        return self.status in self.ACTIVE

    @property
    def short(self) -> str:
        """Return the first digits of the commit."""
        return self.commit[:10]

    @property
    def who(self) -> str:
        """Return who asked for it."""
        return self.asked_by or "a push"
