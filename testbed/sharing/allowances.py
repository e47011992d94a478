"""Limits of users and groups in place of the installation's, set by lab admins."""

from collections.abc import Mapping

from django.contrib.auth.models import Group, User
from django.db import transaction

from testbed.access.limits import Account, name_of
from testbed.access.record import write
from testbed.models import Allowance, GroupAllowance
from testbed.models.allowances import Quota
from testbed.models.record.entries import ADMIN_PAGES

OF_GROUPS = tuple(field.name for field in Quota._meta.get_fields())
OF_USERS = (
    *OF_GROUPS,
    "sockets",
    "testbed_mib",
    "user_mib",
    "testbed_disk_gib",
    "testbed_log_mib",
    "user_log_mib",
)


def set_allowance(account: Account, values: Mapping[str, int | None], by: User) -> None:
    """Give an account limits of its own; None is the installation's."""
    given = {name: value for name, value in values.items() if value is not None}
    said = ", ".join(f"{name} {value}" for name, value in given.items())
    with transaction.atomic():
        if isinstance(account, Group):
            GroupAllowance.objects.update_or_create(group=account, defaults=values)
        else:
            Allowance.objects.update_or_create(user=account, defaults=values)
        _record(account, by, f"set its limits: {said or 'those of all'}")


def remove_allowance(account: Account, by: User) -> None:
    """Give an account the limits of all; a group has no quota then."""
    with transaction.atomic():
        if isinstance(account, Group):
            count, _ = GroupAllowance.objects.filter(group=account).delete()
        else:
            count, _ = Allowance.objects.filter(user=account).delete()
        if count:
            _record(account, by, "removed its limits")


def _record(account: Account, by: User, what: str) -> None:
    write(by, ADMIN_PAGES, what, thing=f"allowance of {name_of(account)}")
