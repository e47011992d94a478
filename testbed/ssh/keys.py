"""Users' public SSH keys: added, removed, and written for the guests that accept them.

The guests of a testbed accept the keys of its owner and its operators. Views call this with the signed-in
user; the record gets the fingerprint of the key.
"""

import re
from collections.abc import Collection, Iterable, Mapping

from django.contrib.auth.models import User
from django.db import IntegrityError, transaction

from orchestration.project.public_keys import KeyRefused, parse_public_key
from testbed.access.permissions import LEAST, Act
from testbed.access.record import write
from testbed.access.roles import accounts_of_each
from testbed.celery import request_key_pushes
from testbed.models import Testbed, UserKey
from testbed.models.record.entries import SSH_KEYS

MOST_KEYS = 20
MOST_NAME = 60
_UNUSUAL = re.compile(r"[^A-Za-z0-9@._-]+")


def add_key(user: User, name: str, text: str) -> UserKey:
    """Add a key; without a name it gets its comment's. Raises: KeyRefused."""
    key = parse_public_key(text)
    name = " ".join(name.split()) or key.comment[:MOST_NAME] or key.kind
    if len(name) > MOST_NAME or not name.isprintable():
        raise KeyRefused(f"A name has 1 to {MOST_NAME} visible characters.")
    try:
        with transaction.atomic():
            # A lock on the user's row: two requests do not pass the limit together.
            User.objects.select_for_update().get(pk=user.pk)
            if UserKey.objects.filter(user=user).count() >= MOST_KEYS:
                raise KeyRefused(
                    f"You have {MOST_KEYS} keys.",
                    hint="Remove one that you do not use.",
                )
            row = UserKey.objects.create(
                user=user,
                name=name,
                kind=key.kind,
                blob=key.blob,
                bits=key.bits,
                comment=key.comment,
                fingerprint=key.fingerprint,
            )
    except IntegrityError as exc:
        raise KeyRefused("You have added this key already.") from exc
    _log("added", row)
    request_key_pushes()
    return row


def remove_key(row: UserKey) -> None:
    """Remove a key."""
    row.delete()
    _log("removed", row)
    request_key_pushes()


def keys_for(testbed: Testbed) -> tuple[str, ...]:
    """Return the lines of the keys that a testbed's guests are to accept."""
    return keys_of_each([testbed])[testbed.pk]


def keys_of_each(testbeds: Collection[Testbed]) -> Mapping[int, tuple[str, ...]]:
    """Return these lines for many testbeds, by their ids (two queries).

    They are the keys of its owner and of those users whose share lets them use the
    guests. Users who may not sign in have none.
    """
    users = accounts_of_each(testbeds, LEAST[Act.SSH])
    found: dict[int, list[str]] = {}
    everybody = set().union(*users.values())
    keys = UserKey.objects.filter(user__in=everybody, user__is_active=True)
    for key in keys.order_by("user", "pk").select_related("user"):
        found.setdefault(key.user_id, []).extend(lines_of([key]))
    return {
        pk: tuple(line for user in sorted(some) for line in found.get(user, ()))
        for pk, some in users.items()
    }


def lines_of(keys: Iterable[UserKey]) -> tuple[str, ...]:
    """Return the keys as lines of an `authorized_keys`, with names of plain letters."""
    return tuple(
        f"{key.kind} {key.blob} {_plain(key.user.get_username())}:{_plain(key.name)}"
        for key in keys
    )


def _plain(name: str) -> str:
    return _UNUSUAL.sub("_", name)


def _log(did: str, key: UserKey) -> None:
    write(key.user, SSH_KEYS, f"{did} {key.fingerprint}", thing=f"key {key.name}")
