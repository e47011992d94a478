"""Names of testbeds: required to be free, and changed with the old address kept.

Two browsers that take one name at once meet a constraint of the database: one of them is
told that the name is taken, as if it had come later.
"""

import re

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from orchestration.errors import TestbedError
from testbed.access.permissions import Act, record_act
from testbed.models import Testbed
from testbed.models.listing.names import PARTS, free_name, move

NAME_LENGTH = 40
NAME = re.compile(r"[a-z0-9]([a-z0-9-]*[a-z0-9])?")
NAME_WORDS = (
    "Use lower-case letters, digits and hyphens; start and end with a letter or digit."
)


class BadName(TestbedError):
    """No testbed may be named so."""


class NameTaken(TestbedError):
    """Another testbed of the same owner has this name."""


def require_free(owner: User, name: str, *, but: Testbed | None = None) -> None:
    """Let an owner's testbed be named so. Raises: NameTaken."""
    others = owner.testbeds.filter(name=name)
    if (others.exclude(pk=but.pk) if but else others).exists():
        raise _taken(owner, name, but)


def require_name(owner: User, name: str, *, but: Testbed | None = None) -> None:
    """Let an owner's testbed be named so. Raises: BadName, NameTaken."""
    hint = "Choose another name."
    if len(name) > NAME_LENGTH:
        raise BadName(f"A name has at most {NAME_LENGTH} characters.", hint=hint)
    if not NAME.fullmatch(name):
        raise BadName(NAME_WORDS, hint=hint)
    if name in PARTS:
        raise BadName("This name is an address of the web itself.", hint=hint)
    require_free(owner, name, but=but)


def place(testbed: Testbed, owner: User, name: str) -> None:
    """Give a locked testbed an owner and a name. Raises: NameTaken."""
    try:
        with transaction.atomic():
            move(testbed, owner, name)
    except IntegrityError as exc:
        raise _taken(owner, name, testbed) from exc


def rename(testbed: Testbed, name: str, by: User) -> None:
    """Give a testbed another name. Raises: NameTaken."""
    with transaction.atomic():
        row = Testbed.objects.select_for_update(of=("self",)).get(pk=testbed.pk)
        before = row.name
        if before == name:
            return
        require_free(row.owner, name, but=row)
        place(row, row.owner, name)
        row.name = name
        record_act(by, Act.RENAME, row, f"renamed it from {before}")


def _taken(owner: User, name: str, testbed: Testbed | None) -> NameTaken:
    offered = free_name(owner, name, but=testbed)
    return NameTaken(
        f"There is already a testbed {name} of {owner}.",
        hint=f"{offered} is free." if offered != name else "Try again.",
    )
