"""The record: who did what to which thing, from where, when, and with which outcome.

Entries are added and never changed; nothing but their age removes them. They hold names
and numbers instead of references, so that they say the same after a user, a testbed or
a run is gone.
"""

from datetime import datetime
from typing import Never

from django.db import models
from django.db.models import Case, F, OuterRef, Q, Subquery, Value, When
from django.db.models.functions import Coalesce
from django.utils import timezone

MOST_TEXT = 1_000
MOST_NAME = 200
# What users do to no testbed; `access.permissions.Act` names the others.
SIGN_IN, SIGN_OUT, PASSWORD = "sign_in", "sign_out", "password"
GROUPS, SSH_KEYS, ADMIN_PAGES = "groups", "ssh_keys", "admin_pages"
ORPHANS, IMAGES, HOSTS = "orphans", "images", "hosts"
NOTIFICATIONS = "notifications"
TOKENS = "tokens"
INVITATIONS = "invitations"
RESERVATIONS = "reservations"
RUN_END = "run_end"
OTHER_ACTS = {
    SIGN_IN: "sign in",
    SIGN_OUT: "sign out",
    PASSWORD: "change passwords",
    GROUPS: "change groups",
    SSH_KEYS: "change SSH keys",
    ADMIN_PAGES: "use the admin pages",
    ORPHANS: "delete and adopt orphans",
    IMAGES: "delete and share images",
    HOSTS: "add and change hosts",
    NOTIFICATIONS: "choose notifications",
    TOKENS: "make and revoke API tokens",
    INVITATIONS: "invite users",
    RESERVATIONS: "reserve hosts",
}


class EntryQuerySet(models.QuerySet["Entry"]):
    """Adds, selects, and forgets by age; changes nothing."""

    def update(self, **values: object) -> Never:
        """Refuse. Raises: TypeError."""
        raise TypeError("An entry of the record is not changed.")

    def delete(self) -> Never:
        """Refuse. Raises: TypeError."""
        raise TypeError("An entry of the record is not deleted.")

    def forget_before(self, limit: datetime, *, most: int) -> int:
        """Remove the oldest entries of before a time; return how many."""
        old = self.filter(at__lt=limit).order_by("pk").values_list("pk", flat=True)
        found = self.model.objects.filter(pk__in=list(old[:most]))
        return models.QuerySet.delete(found)[0]

    def listed(self) -> "EntryQuerySet":
        """Return acts with the `result` and `said` of the run that each one began."""
        ends = Entry.objects.filter(act=RUN_END, run_number=OuterRef("run_number"))
        end = ends.order_by("pk")
        began = Q(outcome=Entry.Outcome.STARTED)
        result = Coalesce(Subquery(end.values("outcome")[:1]), Value("running"))
        said = Coalesce(Subquery(end.values("what")[:1]), Value(""))
        return self.exclude(act=RUN_END).annotate(
            result=Case(When(began, then=result), default=F("outcome")),
            said=Case(When(began, then=said), default=Value("")),
        )


class Entry(models.Model):
    """One act of a user, or the end of the run that it began.

    `role` is the user's role in another's testbed, `owner` that testbed's owner. `user`
    is empty for what the system did.
    """

    class Outcome(models.TextChoices):
        DONE = "done"
        STARTED = "started"
        SUCCEEDED = "succeeded"
        FAILED = "failed"
        CANCELLED = "cancelled"
        INTERRUPTED = "interrupted"
        REFUSED = "refused"

    at = models.DateTimeField(default=timezone.now, db_index=True)
    user = models.CharField(max_length=150, blank=True, db_index=True)
    role = models.CharField(max_length=20, blank=True)
    address = models.CharField(max_length=45, blank=True)
    act = models.CharField(max_length=40, db_index=True)
    thing = models.CharField(max_length=MOST_NAME, blank=True)
    owner = models.CharField(max_length=150, blank=True)
    testbed_number = models.PositiveIntegerField(null=True, db_index=True)
    run_number = models.PositiveBigIntegerField(null=True, db_index=True)
    what = models.CharField(max_length=MOST_TEXT)
    outcome = models.CharField(max_length=12, choices=Outcome.choices)

    objects = EntryQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.user} {self.act} {self.thing}: {self.what}"

    def save(self, *args: object, **kwargs: object) -> None:
        """Add it. Raises: TypeError, when it is there already."""
        if not self._state.adding:
            raise TypeError("An entry of the record is not changed.")
        self.thing, self.what = self.thing[:MOST_NAME], self.what[:MOST_TEXT]
        super().save(force_insert=True)

    def delete(self, *args: object, **kwargs: object) -> Never:
        """Refuse. Raises: TypeError."""
        raise TypeError("An entry of the record is not deleted.")
