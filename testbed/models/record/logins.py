"""How often someone tried to sign in: one row for an account, an address, or both."""

from datetime import timedelta

from django.db import models, transaction
from django.db.models import F
from django.utils import timezone

WINDOW = timedelta(minutes=15)


class LoginCountQuerySet(models.QuerySet["LoginCount"]):
    """Counts attempts within `WINDOW` from the first one."""

    def add(self, subject: str) -> "LoginCount":
        """Count an attempt, and return the row. Simultaneous attempts all count."""
        now = timezone.now()
        with transaction.atomic():
            self.filter(since__lte=now - WINDOW).delete()
            row, _ = self.get_or_create(subject=subject, defaults={"since": now})
            self.filter(pk=row.pk).update(attempts=F("attempts") + 1)
            row.refresh_from_db()
        return row


class LoginCount(models.Model):
    """The attempts since a time. Deleting the row unlocks its subject."""

    subject = models.CharField(max_length=250, unique=True)
    attempts = models.PositiveIntegerField(default=0)
    since = models.DateTimeField(db_index=True)

    objects = LoginCountQuerySet.as_manager()

    class Meta:
        ordering = ("-since", "subject")

    def __str__(self) -> str:
        return f"{self.subject}: {self.attempts} attempts"
