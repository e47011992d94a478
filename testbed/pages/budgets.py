"""The budgets of an account, or of one testbed: what is used of what is allowed.

For pages, from rows and files on main only. The limits themselves are in
`access/limits.py`, and are enforced where things are made.
"""

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db.models import Q, QuerySet, Sum
from django.urls import reverse

from orchestration.amounts import size
from orchestration.project.fetched import fetched_bytes
from testbed.access.limits import (
    GIB,
    MIB,
    Account,
    AccountKey,
    Limits,
    Use,
    account_of,
    charged_to,
    key_of,
    key_of_row,
    limits_of,
    limits_of_each,
    name_of,
    payer,
)
from testbed.models import Run, SavedImage, Testbed, TrashItem
from testbed.pages.reservations.accounts import reserved_words
from testbed.sharing.people import groups_of
from testbed.testbeds.capacity import Lab, counted
from testbed.testbeds.disk_space import Bytes, held_by_each, saved_bytes
from testbed.testbeds.quotas import use_in
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
    def percent(self) -> int:
        """The used part, also above 100; of a limit of 0 anything is 100."""
        return (
            -(-100 * self.used // self.limit) if self.limit else 100 * bool(self.used)
        )

    def json(self) -> dict[str, object]:
        """Return it for programs."""
        return {
            "name": self.name,
            "used": self.used,
            "limit": self.limit,
            "in_bytes": self.is_size,
            "percent": self.percent,
            "note": self.note,
        }

    @property
    def is_spent(self) -> bool:
        """Return whether nothing is left."""
        return self.used >= self.limit


@dataclass(frozen=True, slots=True)
class Used:
    """The use of an account's testbeds together."""

    guests: Use
    disk_bytes: int
    testbeds: int
    runs: int


@dataclass(frozen=True, slots=True)
class AccountQuota:
    """An account with all parts of its quota, and its reservations in words."""

    account: Account
    budgets: tuple[Budget, ...]
    reserved: str = ""

    @property
    def name(self) -> str:
        """The account's name, of a group with that word."""
        return name_of(self.account)

    @property
    def is_group(self) -> bool:
        """Return whether it is a group."""
        return isinstance(self.account, Group)

    @property
    def address(self) -> str:
        """The admin's page of the account's allowance, or of a new one."""
        return allowance_address(self.account)

    @property
    def pressure(self) -> int:
        """The percent of the part that is used most."""
        return max(budget.percent for budget in self.budgets)


def allowance_address(account: Account) -> str:
    """Return the address of the admin's page of an allowance, or of a new one."""
    is_group = isinstance(account, Group)
    kind = "groupallowance" if is_group else "allowance"
    allowance = getattr(account, "allowance", None)
    if allowance is not None:
        return reverse(f"admin:testbed_{kind}_change", args=[allowance.pk])
    field = "group" if is_group else "user"
    return reverse(f"admin:testbed_{kind}_add", query={field: account.pk})


def account_shown(testbed: Testbed, user: User) -> str:
    """Return the name of the charged account, of a group only to those who know it."""
    account = account_of(testbed)
    is_own = testbed.owner_id == user.pk
    if isinstance(account, User) or is_own or account in groups_of(user):
        return name_of(account)
    return payer(account)


DISKS = "at their full size, with seeds and snapshots, on all hosts"
ALL_DISKS = f"{DISKS}, and saved images"
UP = "of testbeds that are up or coming up"
FETCHED = "what guests sent"
LOGS = "above the limit, the oldest are removed first"


def budgets_and_quota(
    testbed: Testbed, *, has_quota: bool
) -> tuple[tuple[Budget, ...], tuple[Budget, ...]]:
    """Return a testbed's budgets, and the quota of its account where that is shown.

    What both need is asked once.
    """
    lab, account = Lab(), account_of(testbed)
    one = Testbed.objects.filter(pk=testbed.pk)
    held = held_by_each(charged_to(account) if has_quota else one)
    quota = _quota_of(account, lab, held) if has_quota else ()
    return _budgets_of(testbed, lab, held), quota


def budgets_of_testbed(testbed: Testbed) -> tuple[Budget, ...]:
    """Return the budgets of one testbed."""
    return budgets_and_quota(testbed, has_quota=False)[0]


def _budgets_of(
    testbed: Testbed, lab: Lab, held: Mapping[int, Bytes]
) -> tuple[Budget, ...]:
    """Return the budgets of a testbed; `held` has the bytes of its disks by host."""
    keys = (False, testbed.owner_id), key_of(account_of(testbed))
    limits = lab.limits_of(keys)
    own, charged = (limits[key] for key in keys)
    disks, logs = sum(held[testbed.pk].values()), Testbed.objects.filter(pk=testbed.pk)
    return (
        Budget("Files", files_bytes(testbed), own.testbed_mib * MIB),
        Budget("Disks", disks, charged.testbed_disk_gib * GIB, DISKS),
        _fetched(testbed),
        Budget("Logs", _logs(logs), own.testbed_log_mib * MIB, LOGS),
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
    return _quota_of(account, Lab(), held_by_each(charged_to(account)))


def _quota_of(
    account: Account, lab: Lab, held: Mapping[int, Bytes]
) -> tuple[Budget, ...]:
    """Return the same; `held` has the bytes of each testbed's disks by host."""
    key = key_of(account)
    guests = (use_in(one.whole) for one in lab.counted if one.account == key)
    disks = sum(sum(each.values()) for each in held.values()) + saved_bytes(account)
    used = Used(sum(guests, Use()), disks, len(held), lab.runs_of[key])
    return _quota(lab.limits_of([key])[key], used)


def all_quotas() -> list[AccountQuota]:
    """Return the quotas of all users and groups, those with the least left first.

    A group without an allowance, and without testbeds, has none. The number of queries is
    the same for any number of accounts.
    """
    testbeds: dict[AccountKey, list[int]] = defaultdict(list)
    for pk, *ids in Testbed.objects.values_list("pk", "owner", "charged_group"):
        testbeds[key_of_row(*ids)].append(pk)
    guests = {one.testbed: use_in(one.whole) for one in counted()}
    disks = held_by_each(Testbed.objects.all())
    by_owner = SavedImage.objects.bytes_by_owner()
    saved = {key_of_row(pk, None): size for pk, size in by_owner.items()}
    running = Run.objects.changing().begun().values_list("testbed", flat=True)
    runs = Counter(running)
    users = User.objects.filter(Q(is_active=True) | Q(testbeds__isnull=False))
    has_quota = Q(allowance__isnull=False) | Q(charged_testbeds__isnull=False)
    groups = Group.objects.filter(has_quota)
    # A lab has hundreds of users, and their rows many columns.
    shown = users.only("username", "is_active", "allowance__id")
    accounts: list[Account] = [
        *shown.select_related("allowance").distinct(),
        *groups.select_related("allowance").distinct(),
    ]
    limits, reserved = limits_of_each(list(map(key_of, accounts))), reserved_words()
    found = []
    for account in accounts:
        mine = testbeds[key_of(account)]
        used = Used(
            sum((guests.get(pk, Use()) for pk in mine), Use()),
            sum(sum(disks[pk].values()) for pk in mine if pk in disks)
            + saved.get(key_of(account), 0),
            len(mine),
            sum(runs[pk] for pk in mine),
        )
        budgets = _quota(limits[key_of(account)], used)
        said = reserved.get(key_of(account), "")
        found.append(AccountQuota(account, budgets, said))
    return sorted(found, key=lambda one: (-one.pressure, one.name))


def _quota(limits: Limits, used: Used) -> tuple[Budget, ...]:
    guests = used.guests
    return (
        Budget("Guests", guests.guests, limits.guests, UP, is_size=False),
        Budget("vCPUs", guests.vcpus, limits.vcpus, UP, is_size=False),
        Budget("Memory", guests.memory_mib * MIB, limits.memory_gib * GIB, UP),
        Budget("Disks", used.disk_bytes, limits.user_disk_gib * GIB, ALL_DISKS),
        Budget("Testbeds", used.testbeds, limits.testbeds, is_size=False),
        Budget("Runs at once", used.runs, limits.runs, is_size=False),
    )


def _trash(owner: User) -> str:
    found = TrashItem.objects.filter(owner=owner).size_bytes()
    return f"{size(found)} of it in the trash" if found else ""


def _fetched(testbed: Testbed) -> Budget:
    used = fetched_bytes(testbed.project.fetched_of_all)
    return Budget("Fetched files", used, settings.FETCHED_QUOTA.size_bytes, FETCHED)


def _logs(testbeds: QuerySet[Testbed]) -> int:
    found = Run.objects.filter(testbed__in=testbeds)
    return found.aggregate(sum=Sum("log_bytes"))["sum"] or 0
