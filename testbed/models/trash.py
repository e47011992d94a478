"""Deleted testbeds and files that can be brought back."""

from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, User
from django.db import models
from django.db.models import Sum

from testbed.models.testbeds import MOST_DESCRIPTION


class TrashQuerySet(models.QuerySet["TrashItem"]):
    """Selects the items that a user may see, and sums them."""

    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> "TrashQuerySet":
        """Return the user's own items; an admin's are all."""
        if not isinstance(user, User) or not user.is_active:
            return self.none()
        return self.all() if user.is_superuser else self.filter(owner=user)

    def size_bytes(self) -> int:
        """Return the sum of their sizes."""
        found: int | None = self.aggregate(sum=Sum("size_bytes"))["sum"]
        return found or 0


class TrashItem(models.Model):
    """The files of a deleted testbed, or one deleted file (`path` is its path).

    `key` names its folder in the trash, `slug` is the testbed's name. `origin` is the
    primary key of the testbed that it was, or was a file of; it is not given again. `commands` are the saved
    commands of a testbed as JSON, `description` and `tags` its words in the list.
    """

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="trash"
    )
    key = models.CharField(max_length=32, unique=True)
    slug = models.SlugField(max_length=40)
    path = models.TextField(blank=True)
    origin = models.PositiveBigIntegerField()
    size_bytes = models.PositiveBigIntegerField()
    files = models.PositiveIntegerField()
    commands = models.JSONField(default=list)
    description = models.CharField(max_length=MOST_DESCRIPTION, blank=True)
    tags = models.JSONField(default=list)
    deleted_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, null=True, on_delete=models.SET_NULL, related_name="+"
    )
    deleted_at = models.DateTimeField(auto_now_add=True)

    objects = TrashQuerySet.as_manager()

    class Meta:
        ordering = ("-id",)

    def __str__(self) -> str:
        return f"{self.path} of {self.slug}" if self.path else self.slug

    @property
    def thing(self) -> str:
        """The deleted thing in words."""
        return f"file {self}" if self.path else f"testbed {self}"

    @property
    def until(self) -> datetime:
        """The time from which it may be removed."""
        return self.deleted_at + timedelta(days=settings.TRASH_DAYS)
