"""Answers for whom a user may reserve, and which reservations a user may change.

docs/permissions.md has these rules for people. Every user sees when and how much of a
host is reserved; `ReservationQuerySet.visible_to` has those of which a user sees more.
"""

from collections.abc import Mapping

from django.contrib.auth.models import Group, User

from orchestration.errors import TestbedError
from testbed.access.limits import Account, name_of
from testbed.access.permissions import NotAllowed, is_admin
from testbed.models import GroupManager, Reservation


def holders_for(user: User) -> Mapping[str, Account]:
    """Return for whom a user may reserve, by name; the user comes first.

    A group's name has that word before it, which no name of a user can have.
    """
    if is_admin(user):
        users = User.objects.filter(is_active=True).exclude(pk=user.pk)
        groups = Group.objects.order_by("name")
    else:
        users = User.objects.none()
        groups = Group.objects.filter(managers__user=user).order_by("name")
    found: list[Account] = [user, *users.order_by("username"), *groups]
    return {name_of(one): one for one in found}


def may_change(user: User, reservation: Reservation) -> bool:
    """Return whether a user may change and cancel a reservation."""
    if is_admin(user):
        return True
    if reservation.group_id is None:
        return reservation.user_id == user.pk
    managers = GroupManager.objects.filter(group=reservation.group_id, user=user)
    return managers.exists()


def require_change(user: User, reservation: Reservation) -> None:
    """Let a user change a reservation. Raises: NotAllowed."""
    if not may_change(user, reservation):
        raise NotAllowed(
            TestbedError(
                f"You may not change {reservation} of {reservation.holder_name}.",
                hint="Its group's managers and lab admins may do it.",
            )
        )
