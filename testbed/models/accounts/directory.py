"""Accounts whose passwords are a directory's, bound to their entries there.

`testbed/accounts/directory/accounts.py` makes and uses the rows.
"""

from django.conf import settings
from django.contrib.auth.models import AbstractBaseUser, AnonymousUser
from django.db import models

MOST_ENTRY = 200
# In place of a hash: no password matches it, and Django says of it that the account has
# a password to sign in with and to give once more.
DIRECTORY_PASSWORD = "directory"  # noqa: S105  # nosec B105


class DirectoryEntry(models.Model):
    """The entry of a user's account; `entry` is its id, given to no other user ever.

    `left_at`: the account was deactivated then, as its user had lost the group.
    `checked_at`: the directory was asked then whether that is so.
    """

    user = models.OneToOneField(
        settings.AUTH_USER_MODEL,
        on_delete=models.CASCADE,
        related_name="directory_entry",
    )
    entry = models.CharField(max_length=MOST_ENTRY, unique=True)
    left_at = models.DateTimeField(null=True, blank=True)
    checked_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        verbose_name = "entry of the directory"
        verbose_name_plural = "entries of the directory"

    def __str__(self) -> str:
        return f"entry of {self.user_id}"


def is_of_directory(user: AbstractBaseUser | AnonymousUser) -> bool:
    """Return whether an account's password is the directory's."""
    return getattr(user, "password", "") == DIRECTORY_PASSWORD
