"""Charges a testbed to its owner's quota, or to that of one of the owner's groups.

Only groups to which a lab admin gave an allowance have a quota. A testbed falls back to
its owner when the testbed gets an owner who is not in the group, or when the owner leaves
it and has enough left; nothing is stopped for that. A group is deleted only when all its
testbeds can fall back. One that stays
charged to a group that its owner left may use no more of its quota.
"""

from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import QuerySet

from testbed.access.limits import Account, name_of, require_disks, require_testbed
from testbed.access.permissions import Act, record_act
from testbed.models import Testbed
from testbed.models.hosts import wait_for_other_plans
from testbed.models.runs import require_no_run
from testbed.sharing.people import UnknownName
from testbed.testbeds.disk_space import charged_disks, held_by
from testbed.testbeds.quotas import require_quota_of


def groups_for(testbed: Testbed) -> QuerySet[Group]:
    """Return the groups that a testbed can be charged to."""
    found = Group.objects.filter(user=testbed.owner, allowance__isnull=False)
    return found.order_by("name")


def charge(testbed: Testbed, number: str, by: User) -> Account:
    """Charge a testbed to the group with a number, to its owner for ''; return it.

    Raises: UnknownName, LimitReached, TestbedBusy (a run changes it).
    """
    with transaction.atomic():
        row = Testbed.objects.select_for_update(of=("self",)).get(pk=testbed.pk)
        group = _group(row, number)
        account: Account = group or row.owner
        if row.charged_group == group:
            return account
        _charge(row, group)
        record_act(by, Act.TRANSFER, row, f"charged it to {name_of(account)}")
    return account


def uncharge(group: Group) -> list[Testbed]:
    """Charge all testbeds of a group to their owners, in the caller's transaction.

    Raises: LimitReached, TestbedBusy (the transaction is to be rolled back).
    """
    rows = Testbed.objects.select_for_update(of=("self",)).select_related("owner")
    # All rows are locked before all plans are, as for a single one.
    found = list(rows.filter(charged_group=group).order_by("pk"))
    for row in found:
        _charge(row, None)
    return found


def _charge(row: Testbed, group: Group | None) -> None:
    require_no_run(row.runs.changing())
    require_account(row, group or row.owner)
    Testbed.objects.filter(pk=row.pk).update(charged_group=group)


def require_account(testbed: Testbed, account: Account) -> None:
    """Let an account be charged for a testbed that was another's. Raises: LimitReached."""
    wait_for_other_plans()
    require_testbed(account)
    if disks := sum(held_by(testbed).values()):
        elsewhere = charged_disks(account, but=testbed)
        require_disks(account, in_testbed=disks, elsewhere=elsewhere)
    require_quota_of(testbed, account)


def _group(testbed: Testbed, number: str) -> Group | None:
    if not number:
        return None
    is_number = number.isascii() and number.isdecimal() and len(number) < 19
    group = groups_for(testbed).filter(pk=int(number)).first() if is_number else None
    if group is None:
        raise UnknownName(
            f"{testbed.owner} has no such group with a quota.",
            hint="A lab admin gives a group one under Group allowances.",
        )
    return group
