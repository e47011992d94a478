"""Looks whether the users of a directory are still in it, and in the lab's group.

A sign-in asks that as well; passkeys, identities of a provider, tokens and open sessions
ask the directory nothing.
"""

import logging
import time
from collections.abc import Iterable
from typing import Protocol

from celery import shared_task
from django.conf import settings
from django.contrib.auth import get_backends
from django.db.models import F
from django.utils import timezone

from testbed.accounts.directory.accounts import DirectoryAway, Standing, apply, leave
from testbed.models import DirectoryEntry
from testbed.models.accounts.directory import DIRECTORY_PASSWORD

logger = logging.getLogger(__name__)
MOST_CHECKED = 500
MOST_S = 60
# So many users are not gone together: the directory shows this lab nothing any more.
FEW = 3


class Asks(Protocol):
    """The backend that speaks with the directory."""

    def standing(self, entry: str) -> Standing:
        """Return the standing of the user of an entry. Raises: DirectoryAway."""


@shared_task(name="testbed.tasks.accounts.check_directory", ignore_result=True)
def check_directory() -> None:
    """Deactivate accounts whose users left, those that were not looked at longest first."""
    backends = [one for one in get_backends() if hasattr(one, "standing")]
    if not backends or not settings.DIRECTORY.urls:
        return
    rows = DirectoryEntry.objects.select_related("user").filter(
        user__is_active=True, user__password=DIRECTORY_PASSWORD
    )
    stalest = rows.order_by(F("checked_at").asc(nulls_first=True), "pk")
    found = _ask(backends[0], stalest[:MOST_CHECKED])
    if len(found) >= FEW and not any(one.is_member for _, one in found):
        logger.error(
            "The directory shows none of %d users: no account is deactivated.",
            len(found),
        )
        return
    for row, one in found:
        DirectoryEntry.objects.filter(pk=row.pk).update(checked_at=timezone.now())
        if one.is_member:
            apply(row.user, one)
        else:
            leave(row)


def _ask(
    backend: Asks, rows: Iterable[DirectoryEntry]
) -> list[tuple[DirectoryEntry, Standing]]:
    """Return what the directory says, of as many as it says in time."""
    end, found = time.monotonic() + MOST_S, []
    try:
        for row in rows:
            if time.monotonic() > end:
                break
            found.append((row, backend.standing(row.entry)))
    except DirectoryAway as exc:
        logger.warning("%s Its users are checked later.", exc.message)
    return found
