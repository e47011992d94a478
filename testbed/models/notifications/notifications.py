"""Notifications of users, each with the mails and calls of a webhook that tell it.

A notification is written in the transaction of what it tells of, with its deliveries;
`testbed/notifications/` delivers them. Rows are the outbox: a worker that dies loses none.
"""

from collections.abc import Iterable
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.db.models import F, Window
from django.db.models.functions import RowNumber
from django.utils import timezone

from testbed.models.notifications.choices import Channel, Kind

MOST_TITLE = 200
MOST_TEXT = 1_000
MOST_SAID = 300
MOST_KEPT = 200  # for each user


class NotificationQuerySet(models.QuerySet["Notification"]):
    """Selects what users have not read, and removes what is old."""

    def of(self, user: User) -> "NotificationQuerySet":
        """Return what a user was told, without tests of the webhook."""
        return self.filter(user=user).exclude(kind=Kind.TEST)

    def unread(self, user: User) -> "NotificationQuerySet":
        """Return what a user was told and has not read."""
        return self.of(user).filter(read_at=None)

    def read_up_to(self, user: User, newest: int) -> int:
        """Mark as read what a user was told up to a number; return how many."""
        shown = self.unread(user).filter(pk__lte=newest)
        return shown.update(read_at=timezone.now())

    def forget(self, before: datetime) -> int:
        """Remove what is older than a time, and of each user the oldest of too many."""
        removed = self.filter(at__lt=before).delete()[0]
        counts = self.values("user").annotate(count=models.Count("pk"))
        for row in counts.filter(count__gt=MOST_KEPT):
            mine = self.filter(user=row["user"]).order_by("-pk")
            oldest_kept = mine.values_list("pk", flat=True)[MOST_KEPT - 1]
            removed += mine.filter(pk__lt=oldest_kept).delete()[0]
        return removed


class Notification(models.Model):
    """One thing that one user was told."""

    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="notifications"
    )
    kind = models.CharField(max_length=12, choices=Kind.choices)
    title = models.CharField(max_length=MOST_TITLE)
    text = models.CharField(max_length=MOST_TEXT, blank=True)
    path = models.CharField(max_length=300, blank=True)
    data = models.JSONField(default=dict)
    at = models.DateTimeField(default=timezone.now, db_index=True)
    read_at = models.DateTimeField(null=True)

    objects = NotificationQuerySet.as_manager()

    class Meta:
        ordering = ("-pk",)
        indexes = (models.Index(fields=("user", "read_at"), name="unread_by_user"),)

    def __str__(self) -> str:
        return self.title

    def deliver_to(self, channels: Iterable[Channel]) -> None:
        """Add a delivery for each way."""
        Delivery.objects.bulk_create(
            Delivery(notification=self, channel=channel) for channel in channels
        )


class DeliveryQuerySet(models.QuerySet["Delivery"]):
    """Selects and claims what is to be sent."""

    def of(self, user: User) -> "DeliveryQuerySet":
        """Return the mails and calls of a user, the newest first."""
        return self.filter(notification__user=user).select_related("notification")

    def claim(self, now: datetime, *, most: int, lease: timedelta) -> "list[Delivery]":
        """Take deliveries that are due; a worker that dies leaves them due again.

        Each user's first one comes before the second of any other.
        """
        due = self.filter(status=Delivery.Status.WAITING, due_at__lte=now)
        user, oldest = F("notification__user"), ("due_at", "pk")
        turn = Window(RowNumber(), partition_by=user, order_by=oldest)
        rows = due.select_related("notification__user__notification_choice")
        claimed = []
        for row in rows.annotate(turn=turn).order_by("turn", *oldest)[:most]:
            mine = self.filter(pk=row.pk, due_at=row.due_at, tries=row.tries)
            row.tries, row.due_at = row.tries + 1, now + lease
            if mine.update(tries=row.tries, due_at=row.due_at):
                claimed.append(row)
        return claimed

    def give_back(self, rows: "Iterable[Delivery]", now: datetime) -> None:
        """Let claimed deliveries that were not begun be due again, as if never taken."""
        for row in rows:
            mine = self.filter(pk=row.pk, due_at=row.due_at, tries=row.tries)
            mine.update(tries=row.tries - 1, due_at=now)


class Delivery(models.Model):
    """One mail or one call of a webhook; `said` is how the last attempt ended."""

    class Status(models.TextChoices):
        WAITING = "waiting"
        DELIVERED = "delivered"
        FAILED = "failed"

    notification = models.ForeignKey(
        Notification, on_delete=models.CASCADE, related_name="deliveries"
    )
    channel = models.CharField(max_length=8, choices=Channel.choices)
    status = models.CharField(
        max_length=10, choices=Status.choices, default=Status.WAITING
    )
    tries = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(default=timezone.now)
    tried_at = models.DateTimeField(null=True)
    said = models.CharField(max_length=MOST_SAID, blank=True)

    objects = DeliveryQuerySet.as_manager()

    class Meta:
        ordering = ("-pk",)
        indexes = (models.Index(fields=("status", "due_at"), name="deliveries_due"),)

    def __str__(self) -> str:
        return f"{self.channel} of {self.notification}"

    @property
    def is_call(self) -> bool:
        """Return whether a webhook is called."""
        return self.channel == Channel.WEBHOOK

    @property
    def next_at(self) -> datetime | None:
        """The time of the next attempt; None after the last one."""
        return self.due_at if self.status == self.Status.WAITING else None


class HostSilence(models.Model):
    """Since when a host does not answer, and when users were told."""

    host = models.OneToOneField(
        "testbed.Host", on_delete=models.CASCADE, primary_key=True, related_name="+"
    )
    since = models.DateTimeField()
    told_at = models.DateTimeField(null=True)

    def __str__(self) -> str:
        return f"{self.host_id} since {self.since}"
