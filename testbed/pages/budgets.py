"""The budgets of a user, or of one testbed: what is used of what is allowed.

For pages, from rows and files on main only. The limits themselves are in
`access/limits.py`, and are enforced where things are made.
"""

from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import QuerySet, Sum

from orchestration.amounts import size
from orchestration.project.fetched import fetched_bytes
from testbed.access.limits import GIB, MIB, limits_of
from testbed.models import Run, Testbed, TrashItem
from testbed.testbeds.disk_space import held_by_each
from testbed.testbeds.stored_files import files_bytes, files_bytes_of


@dataclass(frozen=True, slots=True)
class Budget:
    """`used` of `limit`, in bytes or, of testbeds, in numbers; `note` explains it."""

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
FETCHED = "what guests sent"
LOGS = "above the limit, the oldest are removed first"


def budgets_of(owner: User, testbed: Testbed | None = None) -> tuple[Budget, ...]:
    """Return the budgets of a user, or of one testbed of theirs."""
    limits = limits_of(owner)
    if testbed is not None:
        one = Testbed.objects.filter(pk=testbed.pk)
        return (
            Budget("Files", files_bytes(testbed), limits.testbed_mib * MIB),
            Budget("Disks", _disks(one), limits.testbed_disk_gib * GIB, DISKS),
            _fetched(testbed),
            Budget("Logs", _logs(one), limits.testbed_log_mib * MIB, LOGS),
        )
    own = Testbed.objects.filter(owner=owner)
    return (
        Budget("Testbeds", own.count(), limits.testbeds, is_size=False),
        Budget("Files", files_bytes_of(owner), limits.user_mib * MIB, _trash(owner)),
        Budget("Disks", _disks(own), limits.user_disk_gib * GIB, DISKS),
        Budget("Logs", _logs(own), limits.user_log_mib * MIB, LOGS),
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
