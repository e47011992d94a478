"""The budgets of an account, or of one testbed: what is used of what is allowed.

For pages, from rows and files on main only. The limits themselves are in
`access/limits.py`, and are enforced where things are made.
"""

from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import QuerySet, Sum

from orchestration.amounts import size
from orchestration.project.fetched import fetched_bytes
from testbed.access.limits import (
    GIB,
    MIB,
    Account,
    account_of,
    charged_to,
    limits_of,
)
from testbed.models import Run, Testbed, TrashItem
from testbed.testbeds.disk_space import held_by_each, saved_bytes
from testbed.testbeds.quotas import used_by
from testbed.testbeds.stored_files import files_bytes, files_bytes_of


@dataclass(frozen=True, slots=True)
class Budget:
    """`used` of `limit`, in bytes or in numbers; `note` explains it."""

    name: str
    used: int
    limit: int
    note: str = ""
    is_size: bool = True

    @property
    def shown(self) -> str:
        """Return the budget as text: `1.2 MiB of 512.0 MiB`."""
        used, limit = (
            (size(self.used), size(self.limit))
            if self.is_size
            else (str(self.used), str(self.limit))
        )
        return f"{used} of {limit}"

    @property
    def is_spent(self) -> bool:
        """Return whether nothing is left."""
        return self.used >= self.limit


DISKS = "at their full size, with seeds and snapshots, on all hosts"
ALL_DISKS = f"{DISKS}, and saved images"
UP = "of testbeds that are up or coming up"
FETCHED = "what guests sent"
LOGS = "above the limit, the oldest are removed first"


def budgets_of_testbed(testbed: Testbed) -> tuple[Budget, ...]:
    """Return the budgets of one testbed."""
    own = limits_of(testbed.owner)
    charged = own if testbed.charged_group is None else limits_of(account_of(testbed))
    one = Testbed.objects.filter(pk=testbed.pk)
    return (
        Budget("Files", files_bytes(testbed), own.testbed_mib * MIB),
        Budget("Disks", _disks(one), charged.testbed_disk_gib * GIB, DISKS),
        _fetched(testbed),
        Budget("Logs", _logs(one), own.testbed_log_mib * MIB, LOGS),
    )


def files_and_logs_of(user: User) -> tuple[Budget, ...]:
    """Return a user's budgets that no group is charged for."""
    limits, own = limits_of(user), Testbed.objects.filter(owner=user)
    return (
        Budget("Files", files_bytes_of(user), limits.user_mib * MIB, _trash(user)),
        Budget("Logs", _logs(own), limits.user_log_mib * MIB, LOGS),
    )


def quota_of(account: Account) -> tuple[Budget, ...]:
    """Return what the testbeds that are charged to an account use together."""
    limits, charged, used = limits_of(account), charged_to(account), used_by(account)
    disks = _disks(charged) + saved_bytes(account)
    runs = Run.objects.filter(testbed__in=charged).changing().begun().count()
    return (
        Budget("Guests", used.guests, limits.guests, UP, is_size=False),
        Budget("vCPUs", used.vcpus, limits.vcpus, UP, is_size=False),
        Budget("Memory", used.memory_mib * MIB, limits.memory_gib * GIB, UP),
        Budget("Disks", disks, limits.user_disk_gib * GIB, ALL_DISKS),
        Budget("Testbeds", charged.count(), limits.testbeds, is_size=False),
        Budget("Runs at once", runs, limits.runs, is_size=False),
    )


def _trash(owner: User) -> str:
    found = TrashItem.objects.filter(owner=owner).size_bytes()
    return f"{size(found)} of it in the trash" if found else ""


def _disks(testbeds: QuerySet[Testbed]) -> int:
    return sum(sum(held.values()) for held in held_by_each(testbeds).values())


def _fetched(testbed: Testbed) -> Budget:
    used = fetched_bytes(testbed.project.fetched_of_all)
    return Budget("Fetched files", used, settings.FETCHED_QUOTA.size_bytes, FETCHED)


def _logs(testbeds: QuerySet[Testbed]) -> int:
    found = Run.objects.filter(testbed__in=testbeds)
    return found.aggregate(sum=Sum("log_bytes"))["sum"] or 0
