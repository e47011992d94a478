"""The right of a lab admin, where a group elsewhere decides it at each sign-in."""

from django.contrib.auth.models import User

from testbed.access.record import write
from testbed.models.record.entries import PASSWORD


def set_admin(user: User, is_admin: bool | None, by: str) -> None:
    """Give or take the right as a provider says; None: it does not decide."""
    if is_admin is None or is_admin == user.is_superuser:
        return
    user.is_staff = user.is_superuser = is_admin
    user.save(update_fields=["is_staff", "is_superuser"])
    said = "became a lab admin" if is_admin else "is no lab admin any more"
    write(user, PASSWORD, f"{said}, by {by}")
