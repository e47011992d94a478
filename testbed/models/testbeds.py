"""Testbeds, the users who see them by which role, and their guests as last observed.

The groups are Django's. `access/roles.py` reads shares, `sharing/` writes them.
"""

from pathlib import Path
from typing import Any

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser, Group, User
from django.db import models
from django.db.models import Q

from orchestration.project.folder import Project

MOST_DESCRIPTION = 200
MOST_NAME = 40


def directory_of(key: str) -> Path:
    """Return the folder on main of the testbed with a key."""
    root: Path = settings.TESTBEDS_DIR
    return root / key


class TestbedQuerySet(models.QuerySet["Testbed"]):
    """Selects the testbeds that a user may see."""

    def visible_to(self, user: AbstractBaseUser | AnonymousUser) -> "TestbedQuerySet":
        """Return the testbeds that a user owns or that are shared; an admin's are all."""
        if not isinstance(user, User) or not user.is_active:
            return self.none()
        if user.is_superuser:
            return self.all()
        shared = Testbed.objects.shared_with(user).values("pk")
        return self.filter(Q(owner=user) | Q(pk__in=shared))

    def shared_with(self, user: User) -> "TestbedQuerySet":
        """Return the testbeds that are shared with a user or a group of the user's."""
        found = self.filter(Q(shares__user=user) | Q(shares__group__user=user))
        return found.exclude(owner=user).distinct()


class Testbed(models.Model):
    """One user's project. Subnets and device names follow from its unique `number`.

    `slug` is its key: the name of its folders and of its things on hosts, which stays for
    ever. `name` is how users call it, unique among its owner's. `viewer_id` is the user
    for whom it was found: as text, the viewer's own testbed is its name, another's
    `alice/quickstart`.

    `observed_at` is the beginning of the last look at all hosts that hold things of it.
    `files_bytes` is the sum of the user's files, or None before they are counted.
    `charged_group` is the group whose quota it uses, in place of its owner's. `started`
    has the name, host, vCPUs and MiB of memory of each guest with which an Up began since
    Down; `testbeds/capacity.py` writes and reads it.
    """

    __test__ = False

    class Condition(models.TextChoices):
        EMPTY = "empty"
        GENERATED = "generated"
        UP = "up"
        DOWN = "down"
        PARTIAL = "partial"

    DEPLOYED = (Condition.UP, Condition.PARTIAL)

    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="testbeds"
    )
    charged_group = models.ForeignKey(
        Group,
        null=True,
        blank=True,
        on_delete=models.SET_NULL,
        related_name="charged_testbeds",
    )
    slug = models.SlugField(max_length=MOST_NAME, unique=True)
    name = models.SlugField(max_length=MOST_NAME)
    number = models.PositiveIntegerField(unique=True)
    condition = models.CharField(
        max_length=12, choices=Condition.choices, default=Condition.EMPTY
    )
    description = models.CharField(max_length=MOST_DESCRIPTION, blank=True)
    created_at = models.DateTimeField(auto_now_add=True)
    observed_at = models.DateTimeField(null=True, blank=True)
    files_bytes = models.PositiveBigIntegerField(null=True, editable=False)
    started = models.JSONField(default=list, editable=False)

    objects = TestbedQuerySet.as_manager()

    viewer_id: int | None = None

    class Meta:
        ordering = ("name", "pk")
        constraints = (
            models.UniqueConstraint(
                fields=["owner", "name"], name="testbed_name_of_an_owner_once"
            ),
        )

    def __str__(self) -> str:
        is_own = self.viewer_id == self.owner_id
        # Threads without the database print it, too.
        is_known = Testbed.owner.is_cached(self)
        return self.full_name if is_known and not is_own else self.name

    def save(self, *args: Any, **kwargs: Any) -> None:
        """Save it; a row without a name is named as its key."""
        self.name = self.name or self.slug
        super().save(*args, **kwargs)

    @property
    def key(self) -> str:
        """Its name on hosts, in marks and folders."""
        return self.slug

    @property
    def account(self) -> str:
        """The owner's name, the first part of its address."""
        return self.owner.get_username()

    @property
    def full_name(self) -> str:
        """The name with its account, which tells it from every other testbed."""
        return f"{self.account}/{self.name}"

    def seen_by(self, user: AbstractBaseUser | AnonymousUser) -> "Testbed":
        """Note for whom it was found, and return it."""
        self.viewer_id = user.pk
        return self

    @property
    def directory(self) -> Path:
        """The testbed's folder on main."""
        return directory_of(self.slug)

    @property
    def project(self) -> Project:
        """The folder's contents."""
        return Project(self.directory)


class Share(models.Model):
    """The role of one user, or of each member of a group, in a testbed of another."""

    class Role(models.TextChoices):
        VIEWER = "viewer"
        OPERATOR = "operator"
        EDITOR = "editor"

    testbed = models.ForeignKey(
        Testbed, on_delete=models.CASCADE, related_name="shares"
    )
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        null=True,
        on_delete=models.CASCADE,
        related_name="shares",
    )
    group = models.ForeignKey(
        Group, null=True, on_delete=models.CASCADE, related_name="shares"
    )
    role = models.CharField(max_length=12, choices=Role.choices)
    given_by = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.PROTECT, related_name="+"
    )
    given_at = models.DateTimeField()

    class Meta:
        constraints = (
            models.CheckConstraint(
                condition=Q(user=None, group__isnull=False)
                | Q(user__isnull=False, group=None),
                name="share_is_with_a_user_or_a_group",
            ),
            models.UniqueConstraint(
                fields=["testbed", "user"], name="one_share_per_user"
            ),
            models.UniqueConstraint(
                fields=["testbed", "group"], name="one_share_per_group"
            ),
        )

    def __str__(self) -> str:
        return f"{self.testbed}: {self.who} as {self.role}"

    @property
    def who(self) -> str:
        """The name of the user or the group."""
        return str(self.user or self.group)


class GroupManager(models.Model):
    """A user who adds and removes the members of a group."""

    group = models.ForeignKey(Group, on_delete=models.CASCADE, related_name="managers")
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="managed_groups",
    )

    class Meta:
        constraints = (
            models.UniqueConstraint(
                fields=["group", "user"], name="manager_of_a_group_once"
            ),
        )

    def __str__(self) -> str:
        return f"{self.group}: {self.user}"


class ObservedGuest(models.Model):
    """A guest as last observed. `status` is libvirt's word, or `absent`.

    `observed_since` is the first of the looks that saw this status on this host without
    another one between; it is None in rows of earlier versions. The bytes are counted
    since the guest started, as it read, wrote, received and sent; None where nobody
    could count. `interfaces` has the counts of each tap that was there, and its rate, as
    `hosts/guests.py` saves and `pages/traffic.py` reads them.
    """

    testbed = models.ForeignKey(
        Testbed, on_delete=models.CASCADE, related_name="observed_guests"
    )
    name = models.CharField(max_length=64)
    host = models.CharField(max_length=40)
    status = models.CharField(max_length=20)
    cpu_percent = models.FloatField(default=0.0)
    cpu_time_ns = models.BigIntegerField(default=0)
    memory_mib = models.PositiveIntegerField(default=0)
    disk_read_bytes = models.BigIntegerField(null=True)
    disk_written_bytes = models.BigIntegerField(null=True)
    received_bytes = models.BigIntegerField(null=True)
    sent_bytes = models.BigIntegerField(null=True)
    interfaces = models.JSONField(default=dict)
    observed_at = models.DateTimeField()
    observed_since = models.DateTimeField(null=True, blank=True)

    class Meta:
        ordering = ("name",)
        constraints = (
            models.UniqueConstraint(
                fields=["testbed", "name"], name="one_observation_per_guest"
            ),
        )

    def __str__(self) -> str:
        return f"{self.name}: {self.status}"
