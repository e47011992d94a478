"""The Git repository from which a testbed's files come, and the log of its fetches."""

from datetime import UTC, datetime, timedelta

from django.conf import settings
from django.db import models, transaction
from django.utils import timezone

from testbed.models.runs import Run
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

    `up_by` is the user as whom the testbed is brought up after a push, `up_commit` the
    commit whose Up waits, `up_times` (seconds since 1970) when Ups began or were refused
    in the last day, and `up_said` how the last one went.
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
    up_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    up_commit = models.CharField(max_length=64, blank=True)
    up_times = models.JSONField(default=list)
    up_said = models.CharField(max_length=MOST_SAID, blank=True)

    def __str__(self) -> str:
        return f"{self.url} {self.branch}"

    @property
    def short(self) -> str:
        """Return the first digits of the commit."""
        return self.commit[:10]


class FetchQuerySet(models.QuerySet["Fetch"]):
    """Claims fetches, in turns of their owners, and forgets old ones."""

    @transaction.atomic
    def claim(self, pk: int, now: datetime, *, most: int) -> "Fetch | None":
        """Begin a fetch that waits; None: another worker has it, or it has to wait.

        `most` run at once, and one of each owner.
        """
        # One claim at a time: each locks all that could begin or run.
        active = self.filter(status__in=Fetch.ACTIVE).order_by("pk")
        list(active.select_for_update().values_list("pk"))
        running = self.filter(status=Fetch.Status.RUNNING)
        if running.count() >= most:
            return None
        mine = self.filter(pk=pk, status=Fetch.Status.WAITING)
        owners = list(running.values_list("testbed__owner", flat=True))
        found = mine.exclude(testbed__owner__in=owners).values_list("pk", flat=True)
        if not self.filter(pk__in=list(found)).update(
            status=Fetch.Status.RUNNING, started_at=now
        ):
            return None
        return self.select_related("testbed__owner").get(pk=pk)

    def next_ones(self, *, most: int) -> list[int]:
        """Return the waiting fetches that may begin, `most` running at once.

        One of each owner who has none; the owner whose last one is longest ago is first.
        """
        running = self.filter(status=Fetch.Status.RUNNING)
        owners = list(running.values_list("testbed__owner", flat=True))
        waiting = self.filter(status=Fetch.Status.WAITING)
        # One whose testbed has a run would only wait again.
        waiting = waiting.exclude(testbed__runs__status__in=Run.ACTIVE)
        waiting = waiting.exclude(testbed__owner__in=owners).order_by("-pk")
        oldest = dict(waiting.values_list("testbed__owner", "pk"))
        began = self.filter(testbed__owner__in=oldest, started_at__isnull=False)
        last = dict(
            began.order_by()
            .values_list("testbed__owner")
            .annotate(last=models.Max("started_at"))
        )
        never = datetime.min.replace(tzinfo=UTC)
        turns = sorted(oldest, key=lambda one: (last.get(one, never), oldest[one]))
        return [oldest[owner] for owner in turns[: max(0, most - len(owners))]]

    def forget(self, testbed: Testbed) -> None:
        """Remove the oldest fetches of a testbed that are above the limit."""
        mine = self.filter(testbed=testbed).order_by("-pk")
        kept = list(mine.values_list("pk", flat=True)[:MOST_KEPT])
        if len(kept) == MOST_KEPT:
            mine.filter(pk__lt=kept[-1]).delete()


class Fetch(models.Model):
    """One fetch: asked for by a user, or by a push (`asked_by` is empty).

    `then_up`: a push asked for it, after which the testbed is to be brought up.
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
    then_up = models.BooleanField(default=False)
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
