"""Groups of users: made by lab admins, kept by their managers.

The groups are Django's, in which no permission of Django's is used. A manager of a
course or project adds and removes its members; lab admins choose the managers.
"""

from django.contrib.auth.models import Group, User
from django.db import IntegrityError, transaction

from orchestration.errors import TestbedError
from testbed.access.record import write
from testbed.celery import request_key_pushes
from testbed.models import GroupManager
from testbed.models.record.entries import GROUPS
from testbed.sharing.people import MOST_NAME, UnknownName, clean_name


class GroupRefused(TestbedError):
    """A group was not made or changed."""


def manages(user: User, group: Group) -> bool:
    """Return whether a user may change a group's members."""
    if not user.is_active or user.is_superuser:
        return user.is_active
    return GroupManager.objects.filter(group=group, user=user).exists()


def create_group(name: str, by: User) -> Group:
    """Make an empty group. Raises: GroupRefused."""
    name = " ".join(name.split())
    if not name or len(name) > MOST_NAME or not name.isprintable():
        raise GroupRefused(f"A name has 1 to {MOST_NAME} visible characters.")
    try:
        with transaction.atomic():
            group = Group.objects.create(name=name)
    except IntegrityError as exc:
        raise GroupRefused(f"There is already a group {name}.") from exc
    _log(by, group, "made it")
    return group


def add_member(group: Group, name: str, by: User) -> None:
    """Add a user by the exact name. Raises: UnknownName."""
    user = _active(name)
    user.groups.add(group)
    _log(by, group, f"added {user}")
    request_key_pushes()


def remove_member(group: Group, name: str, by: User) -> None:
    """Remove a user, who loses what is shared with the group. Raises: UnknownName.

    The user's testbeds are no longer charged to the group.
    """
    user = _of(group, name)
    with transaction.atomic():
        user.groups.remove(group)
        user.testbeds.filter(charged_group=group).update(charged_group=None)
    _log(by, group, f"removed {user}")
    request_key_pushes()


def add_manager(group: Group, name: str, by: User) -> None:
    """Let a user change the members. Raises: UnknownName."""
    user = _active(name)
    GroupManager.objects.get_or_create(group=group, user=user)
    _log(by, group, f"made {user} its manager")


def remove_manager(group: Group, name: str, by: User) -> None:
    """Take that from a user, who stays a member if the user is one.

    Raises: UnknownName.
    """
    name = clean_name(name)
    if not group.managers.filter(user__username=name).delete()[0]:
        raise UnknownName(f"{name} is no manager of {group}.")
    _log(by, group, f"made {name} no manager")


def _active(name: str) -> User:
    name = clean_name(name)
    found = User.objects.filter(username=name, is_active=True).first()
    if found is None:
        raise UnknownName(
            f"There is no user {name}.", hint="Write the name as the user signs in."
        )
    return found


def _of(group: Group, name: str) -> User:
    name = clean_name(name)
    found = group.user_set.filter(username=name).first()
    if found is None:
        raise UnknownName(f"{name} is not in {group}.")
    return found


def _log(by: User, group: Group, what: str) -> None:
    write(by, GROUPS, what, thing=f"group {group}")
