"""Capacity of a host that is kept for the guests of one user or group, for a time.

`testbed/reservations/` makes, changes and cancels them; planning and the queue of runs
read those that are current. Times are those of the database's clock.
"""

from datetime import datetime

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Now

from testbed.models.hosts import Host

MOST_PURPOSE = 200


class ReservationQuerySet(models.QuerySet["Reservation"]):
    """Selects by time, and by the user who may read them."""

    def claiming(self) -> "ReservationQuerySet":
        """Return those that claim capacity at their time: with a host and a holder."""
        held = Q(user__isnull=False) | Q(group__isnull=False)
        return self.filter(held, cancelled_at=None, host__isnull=False)

    def between(self, begin: datetime, end: datetime) -> "ReservationQuerySet":
        """Return those of which some part is between two times."""
        return self.filter(begins_at__lt=end, ends_at__gt=begin)

    def current(self) -> "ReservationQuerySet":
        """Return those whose time it is by the database's clock."""
        return self.not_over().filter(begins_at__lte=Now())

    def not_over(self) -> "ReservationQuerySet":
        """Return those that are current or to come."""
        return self.filter(ends_at__gt=Now())

    def of(self, holder: User | Group) -> "ReservationQuerySet":
        """Return those of one holder."""
        if isinstance(holder, Group):
            return self.filter(group=holder)
        return self.filter(user=holder)

    def visible_to(self, user: User) -> "ReservationQuerySet":
        """Return those whose holder and purpose a user may read."""
        if user.is_superuser:
            return self.all()
        groups = Group.objects.filter(Q(user=user) | Q(managers__user=user))
        return self.filter(Q(user=user) | Q(group__in=groups.values("pk")))


class Reservation(models.Model):
    """vCPUs and memory of one host from `begins_at` until `ends_at`, for one holder.

    The holder is a user or a group. Host and holder are None once they are gone, and
    the reservation claims nothing then; their names stay for the record. `version`
    counts the changes.
    """

    host = models.ForeignKey(
        Host, null=True, on_delete=models.SET_NULL, related_name="reservations"
    )
    host_name = models.CharField(max_length=40)
    vcpus = models.PositiveIntegerField()
    memory_mib = models.PositiveIntegerField()
    begins_at = models.DateTimeField()
    ends_at = models.DateTimeField(db_index=True)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.SET_NULL,
        related_name="reservations",
    )
    group = models.ForeignKey(
        Group, null=True, on_delete=models.SET_NULL, related_name="reservations"
    )
    holder_name = models.CharField(max_length=160)
    purpose = models.CharField(max_length=MOST_PURPOSE, blank=True)
    made_by = models.CharField(max_length=150)
    made_at = models.DateTimeField()
    cancelled_by = models.CharField(max_length=150, blank=True)
    cancelled_at = models.DateTimeField(null=True)
    version = models.PositiveIntegerField(default=0)

    objects = ReservationQuerySet.as_manager()

    class Meta:
        ordering = ("begins_at", "pk")
        constraints = (
            models.CheckConstraint(
                condition=Q(ends_at__gt=F("begins_at")), name="reservation_ends_later"
            ),
            models.CheckConstraint(
                condition=Q(vcpus__gt=0, memory_mib__gt=0),
                name="reservation_is_not_empty",
            ),
            models.CheckConstraint(
                condition=Q(user=None) | Q(group=None), name="reservation_of_one_holder"
            ),
        )

    def __str__(self) -> str:
        return f"reservation {self.pk}"

    @property
    def holder(self) -> User | Group | None:
        """The user or the group that it is for; None once that is gone."""
        return self.user or self.group
