"""Groups of users: made by lab admins, kept by their managers.

The groups are Django's, in which no permission of Django's is used. A manager of a
course or project adds and removes its members; lab admins choose the managers.
"""

from contextlib import suppress

from django.contrib.auth.models import Group, User
from django.db import IntegrityError, transaction

from orchestration.amounts import count_of
from orchestration.errors import TestbedBusy, TestbedError
from testbed.access.limits import LimitReached
from testbed.access.permissions import Act, NotAllowed, is_admin, record_act
from testbed.access.record import write
from testbed.celery import request_key_pushes
from testbed.models import GroupManager
from testbed.models.record.entries import GROUPS
from testbed.sharing.charging import charge, uncharge
from testbed.sharing.people import MOST_NAME, UnknownName, clean_name
from testbed.testbeds.resumable.receiving import end_forbidden_of


class GroupRefused(TestbedError):
    """A group was not made or changed."""


def manages(user: User, group: Group) -> bool:
    """Return whether a user may change a group's members."""
    if is_admin(user):
        return True
    own = GroupManager.objects.filter(group=group, user=user)
    return user.is_active and own.exists()


def require_manager(user: User, group: Group) -> None:
    """Let a manager or a lab admin change a group's members. Raises: NotAllowed."""
    if not manages(user, group):
        problem = TestbedError(
            f"As a member of group {group} you may not change it.",
            hint="Ask one of its managers, or a lab admin.",
        )
        raise NotAllowed(problem)


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


def reason_to_keep(group: Group) -> TestbedError | None:
    """Return why a group cannot be deleted now: its testbeds have to be charged to it."""
    try:
        with transaction.atomic():
            uncharge(group)
            transaction.set_rollback(True)
    except TestbedError as exc:
        return exc
    return None


def delete_group(group: Group, by: User) -> None:
    """Delete a group, and charge its testbeds to their owners.

    Raises: LimitReached, TestbedBusy (nothing is done).
    """
    with transaction.atomic():
        for testbed in uncharge(group):
            what = f"charged it to {testbed.owner}: group {group} was deleted"
            record_act(by, Act.TRANSFER, testbed, what)
        _log(by, group, "deleted it")
        members = list(group.user_set.all())
        group.delete()
        end_forbidden_of(members)
    request_key_pushes()


def add_member(group: Group, name: str, by: User) -> str:
    """Add a user by the exact name. Raises: UnknownName.

    Like each of these changes it returns what there is to say about it, or ''.
    """
    user = _active(name)
    user.groups.add(group)
    _log(by, group, f"added {user}")
    request_key_pushes()
    return ""


def remove_member(group: Group, name: str, by: User) -> str:
    """Remove a user, who loses what is shared with the group. Raises: UnknownName.

    The user is charged for the user's testbeds again, as far as the own quota has room:
    else to leave and come back would give both quotas.
    """
    user = _of(group, name)
    return _leave(group, user, by, f"removed {user}")


def keep_member(user: User, name: str, *, is_member: bool, said_by: str) -> None:
    """Let a directory decide whether a user is in a group; a missing one is made.

    The record has it as the user's, and `said_by` is the directory's name.
    """
    group = Group.objects.filter(name=name).first()
    is_now = group is not None and user.groups.filter(pk=group.pk).exists()
    if is_member == is_now:
        return
    if group is None:
        group, is_made = Group.objects.get_or_create(name=name)
        if is_made:
            _log(user, group, f"made it, by {said_by}")
    if not is_member:
        _leave(group, user, user, f"left it, by {said_by}")
        return
    user.groups.add(group)
    _log(user, group, f"joined it, by {said_by}")
    request_key_pushes()


def _leave(group: Group, user: User, by: User, what: str) -> str:
    user.groups.remove(group)
    end_forbidden_of([user])
    _log(by, group, what)
    request_key_pushes()
    charged = user.testbeds.filter(charged_group=group)
    for testbed in charged:
        # One transaction each: its row is locked before all plans are.
        with suppress(LimitReached, TestbedBusy):
            charge(testbed, "", by)
    # Of a query that was read, `count` counts the rows of before.
    if not (count := charged.all().count()):
        return ""
    return (
        f"{count_of(count, 'testbed')} of {user} will stay charged to it: the quota of "
        f"{user} has not enough left, or a run changes them."
    )


def add_manager(group: Group, name: str, by: User) -> str:
    """Let a user change the members. Raises: UnknownName."""
    user = _active(name)
    GroupManager.objects.get_or_create(group=group, user=user)
    _log(by, group, f"made {user} its manager")
    return ""


def remove_manager(group: Group, name: str, by: User) -> str:
    """Take that from a user, who stays a member if the user is one.

    Raises: UnknownName.
    """
    name = clean_name(name)
    if not group.managers.filter(user__username=name).delete()[0]:
        raise UnknownName(f"{name} is no manager of {group}.")
    _log(by, group, f"made {name} no manager")
    return ""


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
