"""The names of testbeds: free ones, former ones, and the count that gives each its key.

A name is unique among its owner's: a constraint of `Testbed` holds that, and
`access/names.py` asks here before it writes.
"""

from django.conf import settings
from django.contrib.auth.models import User
from django.db import models
from django.db.models import F

from testbed.models.testbeds import MOST_NAME, Testbed

# The first words below a testbed, which no testbed is named: in `/testbeds/lab/runs/`
# of the time before accounts, `lab` is a testbed. A test compares them with all routes.
PARTS = frozenset(
    [
        "artefacts",
        "budgets",
        "captures",
        "charge",
        "check",
        "commands",
        "copy",
        "delete",
        "disks",
        "edit",
        "exec",
        "expiry",
        "favourite",
        "files",
        "guests",
        "images",
        "labels",
        "live",
        "name",
        "new",
        "owner",
        "power",
        "protection",
        "record",
        "reservations",
        "runs",
        "sharing",
        "snapshots",
        "source",
        "up",
    ]
)
# Of one testbed; older addresses lead nowhere any more.
MOST_FORMER = 20


class FormerName(models.Model):
    """An address that a testbed had: it leads to the present one."""

    testbed = models.ForeignKey(
        Testbed, on_delete=models.CASCADE, related_name="former_names"
    )
    owner = models.ForeignKey(
        settings.AUTH_USER_MODEL, on_delete=models.CASCADE, related_name="+"
    )
    name = models.SlugField(max_length=MOST_NAME)

    class Meta:
        ordering = ("-pk",)

    def __str__(self) -> str:
        return f"{self.name}, now {self.testbed}"


class KeyCount(models.Model):
    """The number of the newest key, in one row: it only grows.

    A primary key would do so as well, but SQLite forgets the highest one whenever a
    migration makes a table anew.
    """

    last = models.PositiveBigIntegerField(default=0)

    def __str__(self) -> str:
        return str(self.last)


def next_key() -> str:
    """Return a key that no testbed ever had, in the caller's transaction."""
    KeyCount.objects.get_or_create(pk=1)
    KeyCount.objects.filter(pk=1).update(last=F("last") + 1)
    return f"tb{KeyCount.objects.values_list('last', flat=True).get(pk=1)}"


def free_name(owner: User, name: str, *, but: Testbed | None = None) -> str:
    """Return a name that no testbed of an owner has: this one, or with a number.

    A testbed of an earlier version may be named as a part of addresses.
    """
    others = Testbed.objects.filter(
        owner=owner, name__startswith=name[: MOST_NAME // 2]
    )
    others = others.exclude(pk=but.pk) if but else others
    taken = set(others.values_list("name", flat=True))
    number, found = 1, name
    while found in taken or found in PARTS:
        number += 1
        end = f"-{number}"
        found = f"{name[: MOST_NAME - len(end)].rstrip('-')}{end}"
    return found


def move(testbed: Testbed, owner: User, name: str) -> None:
    """Give a locked testbed another place among the names; the old address stays known.

    Raises: IntegrityError (the name is taken there).
    """
    before = Testbed.objects.get(pk=testbed.pk)
    Testbed.objects.filter(pk=testbed.pk).update(owner=owner, name=name)
    FormerName.objects.create(testbed=testbed, owner=before.owner, name=before.name)
    kept = testbed.former_names.values_list("pk", flat=True)[:MOST_FORMER]
    testbed.former_names.exclude(pk__in=list(kept)).delete()
