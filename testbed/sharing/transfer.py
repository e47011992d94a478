"""Gives a testbed to another owner, whose limits it then counts against.

It stays charged to its group if the new owner is in that.

An owner gives it to one with a share, a lab admin to anybody: a leaver's testbeds, too.
Shares, files, runs and what is up stay as they are; so do golden images, which a later
change of their scripts makes anew for the new owner.
"""

from django.contrib.auth.models import Group, User
from django.db import transaction
from django.db.models import QuerySet
from django.utils import timezone

from orchestration.errors import TestbedError
from testbed.access.limits import require_files
from testbed.access.names import place
from testbed.access.permissions import Act, is_admin, record_act
from testbed.access.roles import Role, users_of
from testbed.celery import request_key_pushes
from testbed.models import Share, Testbed
from testbed.models.listing.names import free_name
from testbed.models.runs import require_no_run
from testbed.sharing.charging import require_account
from testbed.sharing.people import UnknownName, clean_name, known_to
from testbed.testbeds.resumable.receiving import end_forbidden
from testbed.testbeds.stored_files import (
    files_bytes,
    files_bytes_of,
    open_bytes,
    wait_for_other_uploads,
)


class OwnerChanged(TestbedError):
    """Another user gave the testbed away first."""


def candidates(testbed: Testbed, by: User) -> QuerySet[User]:
    """Return the users to whom another one may give a testbed.

    Of a group that has a share, its members only to those who know them.
    """
    others = User.objects.filter(is_active=True).exclude(pk=testbed.owner_id)
    if not is_admin(by):
        others = known_to(by).filter(pk__in=users_of(testbed, Role.VIEWER))
    return others.order_by("username")


def receiver_named(testbed: Testbed, name: str, by: User) -> User:
    """Return the user to whom another gives a testbed. Raises: UnknownName."""
    name = clean_name(name)
    found = candidates(testbed, by).filter(username=name).first()
    if found is None:
        raise UnknownName(
            f"{name or 'A user without a name'} has no share of {testbed}, or there is "
            "no such user.",
            hint="Share it with the user first. Lab admins give it to any user.",
        )
    return found


def require_limits(testbed: Testbed, user: User, group: Group | None) -> None:
    """Let a user own a testbed besides the user's own. Raises: LimitReached.

    `group` is the one that it stays charged to.
    """
    elsewhere = files_bytes_of(user, but=testbed)
    in_testbed = files_bytes(testbed) + open_bytes(testbed)
    require_files(user, in_testbed=in_testbed, elsewhere=elsewhere)
    if group is None:
        require_account(testbed, user)


def transfer(testbed: Testbed, to: User, by: User, *, former_role: str = "") -> None:
    """Give a testbed to another owner; the former one may keep a role by a share.

    Where the new owner has one of its name, it gets the next free one.

    Raises: LimitReached, NameTaken (just now), OwnerChanged, TestbedBusy (a run
    changes it).
    """
    with transaction.atomic():
        wait_for_other_uploads(to)
        row = Testbed.objects.select_for_update(of=("self",)).get(pk=testbed.pk)
        if row.owner_id != testbed.owner_id:
            raise OwnerChanged(
                f"{testbed} was given to another owner meanwhile.",
                hint="Nothing was done. Load the list of testbeds again.",
            )
        require_no_run(row.runs.changing())
        group = to.groups.filter(pk=row.charged_group_id).first()
        require_limits(row, to, group)
        former = row.owner
        name = free_name(to, row.name, but=row)
        place(row, to, name)
        Testbed.objects.filter(pk=row.pk).update(charged_group=group)
        row.shares.filter(user=to).delete()
        if former_role in Share.Role.values:
            given = {"role": former_role, "given_by": by, "given_at": timezone.now()}
            Share.objects.update_or_create(testbed=row, user=former, defaults=given)
        named = f" as {name}" if name != row.name else ""
        record_act(by, Act.TRANSFER, row, f"gave it from {former} to {to}{named}")
    end_forbidden(Testbed.objects.get(pk=testbed.pk))
    request_key_pushes()
