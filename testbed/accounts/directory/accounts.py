"""Accounts of a directory's users, each bound to its entry by the entry's own id.

A name leads to no account that exists: names are given again after users left, and a
user may have made an account of that name here.
"""

import logging
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from django.conf import settings
from django.contrib.auth.models import User
from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.utils import timezone

from orchestration.errors import TestbedError
from orchestration.terminal import plain
from testbed.access.record import write
from testbed.accounts.admins import Memberships, set_admin, set_groups
from testbed.models import DirectoryEntry
from testbed.models.accounts.directory import (
    DIRECTORY_PASSWORD,
    MOST_ENTRY,
    is_of_directory,
)
from testbed.models.record.entries import INVITATIONS, PASSWORD

logger = logging.getLogger(__name__)
# ASCII, so that no two names look alike.
NAME = re.compile(r"[a-z0-9_][a-z0-9._@+-]{0,149}")
MOST_EMAIL = 254
MOST_NAME = 150
# Active Directory's id is 16 bytes, and no text.
GUID = "objectguid"
Values = list[str | bytes]


class DirectoryRefused(TestbedError):
    """A sign-in with the directory failed for another reason than a wrong password."""


class DirectoryAway(DirectoryRefused):
    """The directory did not answer, or not as it should."""


class NotAdmitted(DirectoryRefused):
    """The directory knows the user, and this lab does not let the user in."""


class Standing(NamedTuple):
    """Whether a user may use the lab, is a lab admin (None: it does not decide), and is
    in each of the groups here that the directory decides.
    """

    is_member: bool
    is_admin: bool | None = None
    groups: Memberships = ()


@dataclass(frozen=True, slots=True)
class Entry:
    """The parts of a user's entry that an account has; `id` is never another's."""

    id: str
    name: str
    email: str
    given: str
    surname: str


def written(name: str) -> str:
    """Return a name as accounts of the directory are written; empty: none is so."""
    name = User.normalize_username(name).strip().lower()
    return name if NAME.fullmatch(name) else ""


def read(attributes: Mapping[str, Values], name: str) -> Entry | None:
    """Return the entry of exactly this name; None, and a line of the log: it has none.

    Directories also find entries by what they hold for the same, such as `é` for `e`.
    """
    rule = settings.DIRECTORY
    found = {key.lower(): values for key, values in attributes.items()}

    def texts(attribute: str) -> list[str]:
        return [one for one in found.get(attribute.lower(), []) if isinstance(one, str)]

    raw = next(iter(found.get(rule.id_attribute.lower(), [])), "")
    number = _hex(raw) if rule.id_attribute.lower() == GUID else str(raw)
    names = {written(one) for one in texts(rule.name_attribute)}
    if not number or len(number) > MOST_ENTRY or name not in names:
        logger.warning("The entry found for %r lacks this name or an id.", name)
        return None
    mail, given, surname = (
        next(iter(texts(attribute)), "")
        for attribute in (
            rule.mail_attribute,
            rule.given_attribute,
            rule.surname_attribute,
        )
    )
    return Entry(number, name, _address(mail), _line(given), _line(surname))


def has_password_here(entry: Entry) -> bool:
    """Return whether the account of an entry, or of its name, has a password here.

    The directory is not given the password then: it may be meant for this account.
    """
    row = _row(entry)
    users = [row.user] if row else _of_name(entry.name)
    is_local = any(
        user.has_usable_password() and not is_of_directory(user) for user in users
    )
    if is_local:
        logger.info(
            "%s has a password here: the directory does not get it.", entry.name
        )
    return is_local


def admit(entry: Entry, standing: Standing) -> User:
    """Return the account of a user who gave the right password. Raises: NotAdmitted.

    One who lost the group loses the account until the group is back.
    """
    row = _row(entry)
    if not standing.is_member:
        if row:
            leave(row)
        raise NotAdmitted(
            f"{entry.name} is not in the group of {_name()} that may use this lab.",
            hint="Ask a lab admin which group that is.",
        )
    user = _come_back(row) if row else _make(entry)
    _update(user, entry)
    apply(user, standing)
    return user


def apply(user: User, standing: Standing) -> None:
    """Give a user the rights and groups of the standing there, and take others."""
    set_admin(user, standing.is_admin, settings.DIRECTORY.name)
    set_groups(user, standing.groups, settings.DIRECTORY.name)


def leave(row: DirectoryEntry) -> None:
    """Deactivate the account of a user who left: sessions and tokens end."""
    user = row.user
    if not user.is_active:
        return
    row.left_at, user.is_active = timezone.now(), False
    with transaction.atomic():
        row.save(update_fields=["left_at"])
        user.save(update_fields=["is_active"])
        write(user, PASSWORD, f"was deactivated: left the group, by {_name()}")


def _come_back(row: DirectoryEntry) -> User:
    """Activate the account if its user had left; a lab admin's word stays."""
    user = row.user
    if row.left_at is not None:
        row.left_at, user.is_active = None, True
        with transaction.atomic():
            row.save(update_fields=["left_at"])
            user.save(update_fields=["is_active"])
            write(user, PASSWORD, f"was activated again, by {_name()}")
    return user


def _make(entry: Entry) -> User:
    """Return a new account, or the one that another sign-in has made meanwhile."""
    user = User(username=entry.name, password=DIRECTORY_PASSWORD)
    try:
        with transaction.atomic():
            if not _of_name(entry.name).exists():
                user.save()
                DirectoryEntry.objects.create(user=user, entry=entry.id)
                write(user, INVITATIONS, f"got an account by {_name()}")
                return user
    except IntegrityError:
        logger.info("%s got an account twice at once: one is kept.", entry.name)
    row = _row(entry)
    if row is None:
        raise _taken(entry)
    return row.user


def _taken(entry: Entry) -> NotAdmitted:
    return NotAdmitted(
        f"There is already an account {entry.name} here, of another user.",
        hint="Ask a lab admin to rename it.",
    )


def _update(user: User, entry: Entry) -> None:
    others = User.objects.filter(email__iexact=entry.email).exclude(pk=user.pk)
    email = user.email if entry.email and others.exists() else entry.email
    values = {
        "email": email,
        "first_name": entry.given,
        "last_name": entry.surname,
    }
    changed = [name for name, value in values.items() if getattr(user, name) != value]
    if changed:
        for name in changed:
            setattr(user, name, values[name])
        user.save(update_fields=changed)


def _row(entry: Entry) -> DirectoryEntry | None:
    rows = DirectoryEntry.objects.select_related("user")
    return rows.filter(entry=entry.id).first()


def _of_name(name: str) -> QuerySet[User]:
    return User.objects.filter(username__iexact=name)


def _hex(raw: str | bytes) -> str:
    return (raw.encode() if isinstance(raw, str) else raw).hex()


def _line(text: str) -> str:
    """Return a part of a name on one line, with nothing in it that is not seen."""
    return plain(" ".join(text.split()))[:MOST_NAME]


def _address(mail: str) -> str:
    """Return an address for mail; empty: it is none."""
    try:
        validate_email(mail)
    except ValidationError:
        return ""
    return mail if len(mail) <= MOST_EMAIL else ""


def _name() -> str:
    return str(settings.DIRECTORY.name)
