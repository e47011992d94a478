"""The right of a lab admin, and groups here, where groups elsewhere decide them."""

from collections.abc import Iterable

from django.contrib.auth.models import User

from testbed.access.record import write
from testbed.models.record.entries import PASSWORD
from testbed.sharing.groups import keep_member

Memberships = tuple[tuple[str, bool], ...]  # names of groups here


def set_admin(user: User, is_admin: bool | None, by: str) -> None:
    """Give or take the right as a provider says; None: it does not decide."""
    if is_admin is None or is_admin == user.is_superuser:
        return
    user.is_staff = user.is_superuser = is_admin
    user.save(update_fields=["is_staff", "is_superuser"])
    said = "became a lab admin" if is_admin else "is no lab admin any more"
    write(user, PASSWORD, f"{said}, by {by}")


def set_groups(user: User, memberships: Memberships, by: str) -> None:
    """Add a user to groups, and remove the user from others, as a provider says."""
    if not memberships:
        return
    now = set(user.groups.values_list("name", flat=True))
    for name, is_member in memberships:
        if is_member != (name in now):
            keep_member(user, name, is_member=is_member, said_by=by)


def memberships_of(
    mapped: Iterable[tuple[str, str]], theirs: Iterable[str]
) -> Memberships:
    """Return the mapped groups here, each with whether one of `theirs` is mapped to it."""
    found, pairs = set(theirs), list(mapped)
    wanted = {ours for ours, their in pairs if their in found}
    return tuple((ours, ours in wanted) for ours in dict.fromkeys(o for o, _ in pairs))
