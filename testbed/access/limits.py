"""How much one account may have: testbeds, guests, files, disks, logs, open websockets.

The installation's limits are settings; an admin gives a user or a group others by an
allowance. A testbed is charged to one account: to its owner, or to the group that it is
charged to; who pressed the button does not matter. Files, logs and websockets are always
the user's. `testbeds/files.py`, `testbeds/disk_space.py`, `testbeds/quotas.py` and the
websocket ask here before they make something; `testbed/retention.py` removes the oldest
logs above the limits.
"""

from collections.abc import Collection
from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import Group, User
from django.db.models import QuerySet

from orchestration.amounts import count_of, mib, size
from orchestration.errors import TestbedError
from testbed.models import Allowance, GroupAllowance, Testbed

MIB = 1024 * 1024
GIB = 1024 * MIB
Account = User | Group
# An account without its row: whether it is a group, and its id.
AccountKey = tuple[bool, int]


class LimitReached(TestbedError):
    """An account has as much as is allowed; nothing was made."""


@dataclass(frozen=True, slots=True)
class Use:
    """The part of a quota that the guests of testbeds that are up use, or may use."""

    guests: int = 0
    vcpus: int = 0
    memory_mib: int = 0

    def __add__(self, other: "Use") -> "Use":
        return Use(
            self.guests + other.guests,
            self.vcpus + other.vcpus,
            self.memory_mib + other.memory_mib,
        )

    def __sub__(self, other: "Use") -> "Use":
        """Return what is left; nothing where more is used."""
        return Use(
            max(0, self.guests - other.guests),
            max(0, self.vcpus - other.vcpus),
            max(0, self.memory_mib - other.memory_mib),
        )

    def where_above(self, held: "Use") -> "Use":
        """Return the amounts that are larger than what is held already."""
        return Use(
            self.guests if self.guests > held.guests else 0,
            self.vcpus if self.vcpus > held.vcpus else 0,
            self.memory_mib if self.memory_mib > held.memory_mib else 0,
        )


@dataclass(frozen=True, slots=True)
class Limits:
    """How much an account may have."""

    testbeds: int
    guests: int
    vcpus: int
    memory_gib: int
    runs: int
    sockets: int
    testbed_mib: int
    user_mib: int
    testbed_disk_gib: int
    user_disk_gib: int
    testbed_log_mib: int
    user_log_mib: int

    @property
    def use(self) -> Use:
        """The limits of guests."""
        return Use(self.guests, self.vcpus, self.memory_gib * 1024)


def limits_of(account: Account) -> Limits:
    """Return an account's limits; a group without an allowance may have nothing."""
    own: Allowance | GroupAllowance | None
    if isinstance(account, Group):
        own = GroupAllowance.objects.filter(group=account).first()
    else:
        own = Allowance.objects.filter(user=account).first()
    return _limits(key_of(account), own)


def limits_of_each(keys: Collection[AccountKey]) -> dict[AccountKey, Limits]:
    """Return the limits of accounts by their keys (two queries)."""
    users = [pk for is_group, pk in keys if not is_group]
    groups = [pk for is_group, pk in keys if is_group]
    own: dict[AccountKey, Allowance | GroupAllowance] = {}
    for allowance in Allowance.objects.filter(user__in=users):
        own[False, allowance.user_id] = allowance
    for of_group in GroupAllowance.objects.filter(group__in=groups):
        own[True, of_group.group_id] = of_group
    return {key: _limits(key, own.get(key)) for key in keys}


def _limits(key: AccountKey, own: Allowance | GroupAllowance | None) -> Limits:
    is_group, _ = key
    if is_group and own is None:
        return Limits(**dict.fromkeys(settings.USER_LIMITS, 0))
    found: dict[str, int] = dict(settings.USER_LIMITS)
    for name in found:
        value = getattr(own, name, None)
        found[name] = found[name] if value is None else value
    return Limits(**found)


def account_of(testbed: Testbed) -> Account:
    """Return the account that a testbed is charged to."""
    return testbed.charged_group or testbed.owner


def key_of(account: Account) -> AccountKey:
    """Return an account's key: of a user and a group with one id they differ."""
    return isinstance(account, Group), account.pk


def key_of_row(owner: int, charged_group: int | None) -> AccountKey:
    """Return the key of the account that a testbed is charged to, from its row's ids."""
    return (True, charged_group) if charged_group is not None else (False, owner)


def charged_to(account: Account) -> QuerySet[Testbed]:
    """Return the testbeds that are charged to an account."""
    if isinstance(account, Group):
        return Testbed.objects.filter(charged_group=account)
    return Testbed.objects.filter(owner=account, charged_group=None)


def name_of(account: Account) -> str:
    """Return an account's name in a sentence."""
    return f"group {account}" if isinstance(account, Group) else str(account)


def payer(account: Account) -> str:
    """Return an account in sentences about a testbed.

    Not all who may bring a testbed up may know the names of its owner's groups.
    """
    return "its group" if isinstance(account, Group) else str(account)


def require_testbed(account: Account) -> None:
    """Let an account have one more testbed. Raises: LimitReached."""
    limit, used = limits_of(account).testbeds, charged_to(account).count()
    if used >= limit:
        raise LimitReached(
            f"{name_of(account)} has {count_of(used, 'testbed')}; allowed: {limit}.",
            hint="Delete one that is not needed, or ask your lab's admin for more.",
        )


def require_membership(testbed: Testbed) -> None:
    """Let a testbed use more of the quota that it is charged to. Raises: LimitReached.

    The owner may have left the group since.
    """
    group, owner = testbed.charged_group, testbed.owner
    if group is None or owner.groups.filter(pk=group.pk).exists():
        return
    raise LimitReached(
        f"Testbed {testbed.name} is charged to a group in which {owner} is no longer: it may "
        "use no more of that quota.",
        hint=f"Charge it to {owner} on its page Sharing, where that quota has enough "
        "left.",
    )


def require_runs(account: Account, limits: Limits) -> None:
    """Refuse what would wait for ever. Raises: LimitReached."""
    if not limits.runs:
        raise LimitReached(
            f"The quota of {payer(account)} allows no runs.",
            hint="Ask your lab's admin for some.",
        )


def require_use(
    account: Account, wanted: Use, *, limits: Limits, others: Use, what: str
) -> None:
    """Let a testbed use what it wants beside the account's others.

    `what` is the sentence's subject, such as `Up of lab`. Raises: LimitReached.
    """
    parts = _above(wanted, limits.use - others)
    if not parts:
        return
    hint = "Stop other testbeds with Down, or ask your lab's admin for more."
    if over := " and ".join(_above(others, limits.use)):
        hint = (
            f"Its other testbeds use {over}: the quota was lowered. Nothing is stopped "
            f"for that. {hint}"
        )
    raise LimitReached(
        f"{what} needs {' and '.join(parts)} left in the quota of {payer(account)}.",
        hint=hint,
    )


def overuse_of(account: Account, used: Use) -> str:
    """Say how much more an account uses than is allowed; empty when it does not."""
    return " and ".join(_above(used, limits_of(account).use))


def require_files(user: User, *, in_testbed: int, elsewhere: int) -> None:
    """Let a user keep so many bytes of files. Raises: LimitReached.

    `in_testbed` counts the new files beside the old ones that they do not replace.
    """
    limits = limits_of(user)
    _require(user, "files", in_testbed, limits.testbed_mib * MIB)
    _require(user, "files", in_testbed + elsewhere, limits.user_mib * MIB, in_all=True)


def require_disks(account: Account, *, in_testbed: int, elsewhere: int) -> None:
    """Let an account's disks grow to so many bytes. Raises: LimitReached.

    Seeds and snapshots are included.
    """
    limits, total = limits_of(account), in_testbed + elsewhere
    _require(account, "disks", in_testbed, limits.testbed_disk_gib * GIB)
    _require(account, "disks", total, limits.user_disk_gib * GIB, in_all=True)


def require_images(user: User, total: int) -> None:
    """Let a user's disks and saved images take so many bytes. Raises: LimitReached."""
    limit = limits_of(user).user_disk_gib * GIB
    _require(user, "disks", total, limit, in_all=True)


def _above(amounts: Use, bounds: Use) -> list[str]:
    """Return the amounts that are larger than their bounds: `6 of 4 vCPUs`."""
    found = []
    if amounts.guests > bounds.guests:
        found.append(f"{amounts.guests} of {count_of(bounds.guests, 'guest')}")
    if amounts.vcpus > bounds.vcpus:
        found.append(f"{amounts.vcpus} of {count_of(bounds.vcpus, 'vCPU')}")
    if amounts.memory_mib > bounds.memory_mib:
        words = f"{mib(amounts.memory_mib)} of {mib(bounds.memory_mib)}"
        found.append(f"{words} of memory")
    return found


def _require(
    account: Account, things: str, used: int, limit: int, *, in_all: bool = False
) -> None:
    if used <= limit:
        return
    where = f"all testbeds of {payer(account)}" if in_all else "this testbed"
    would = "would take" if things == "files" else "may grow to"
    deleted = "disks, snapshots or images" if things == "disks" else things
    trash = " and empty the trash" if things == "files" else ""
    raise LimitReached(
        f"The {things} of {where} {would} {size(used)}; {size(limit)} are allowed.",
        hint=f"Delete {deleted} that are not needed{trash}, or ask your lab's admin for "
        "more.",
    )
