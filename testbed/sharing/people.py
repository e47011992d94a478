"""Which users and groups a user may name: those of the groups that they have in common.

Everything else is answered as a name that does not exist, so that no user learns the
lab's accounts by trying names. Lab admins know all; a manager adds any user to a group, by
the exact name.
"""

from django.contrib.auth.models import Group, User
from django.db.models import Q, QuerySet

from orchestration.errors import TestbedError
from testbed.access.permissions import is_admin

MOST_NAME = 150


class UnknownName(TestbedError):
    """There is no such user or group, or none that this user may name."""


def known_to(user: User) -> QuerySet[User]:
    """Return the users whom a user may name: of common groups and common testbeds."""
    others = User.objects.filter(is_active=True).exclude(pk=user.pk)
    if is_admin(user):
        return others.order_by("username")
    groups = groups_of(user).values("pk")
    of_groups = Q(groups__in=groups) | Q(managed_groups__group__in=groups)
    of_testbeds = Q(shares__testbed__owner=user) | Q(testbeds__shares__user=user)
    found = User.objects.filter(of_groups | of_testbeds).values("pk")
    return others.filter(pk__in=found).order_by("username")


def groups_of(user: User) -> QuerySet[Group]:
    """Return the groups that a user belongs to or manages; an admin's are all."""
    if is_admin(user):
        return Group.objects.order_by("name")
    found = Group.objects.filter(Q(user=user) | Q(managers__user=user))
    return found.distinct().order_by("name")


def user_named(user: User, name: str, *, owner: User) -> User:
    """Return a user whom another one names; owners may name themselves, to be told so.

    Raises: UnknownName.
    """
    name = clean_name(name)
    if user == owner and name == owner.username:
        return owner
    found = known_to(user).filter(username=name).first()
    if found is None:
        raise UnknownName(
            f"There is no user {name}, or none whom you may name.",
            hint="You may name the users of your groups. Ask a lab admin, or the manager "
            "of a group, to add both of you to one.",
        )
    return found


def group_named(user: User, name: str) -> Group:
    """Return a group that a user names. Raises: UnknownName."""
    name = clean_name(name)
    found = groups_of(user).filter(name=name).first()
    if found is None:
        raise UnknownName(
            f"There is no group {name}, or none that you may name.",
            hint="You may name your own groups.",
        )
    return found


def clean_name(name: str) -> str:
    """Return a name as it may be in the database."""
    return name.replace("\0", "").strip()[:MOST_NAME]
