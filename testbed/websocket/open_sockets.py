"""Counts the open websockets of each user, in the one process that serves all of them."""

from collections import defaultdict
from weakref import WeakSet

from channels.db import database_sync_to_async
from django.contrib.auth.models import User

from testbed.access.limits import limits_of

_open: defaultdict[int, "WeakSet[object]"] = defaultdict(WeakSet)


async def enter(user: User, socket: object) -> str:
    """Count a websocket; return why its user may not have one more, or ''."""
    limits = await database_sync_to_async(limits_of)(user)
    others = _open[user.pk]
    if len(others) >= limits.sockets:
        return (
            f"You have {len(others)} open connections to runs, consoles and lists; "
            f"{limits.sockets} are allowed. Close some of these pages, or ask your "
            "lab's admin for more."
        )
    others.add(socket)
    return ""


def leave(user: User, socket: object) -> None:
    """Count a websocket no longer; one that was not counted is none."""
    _open[user.pk].discard(socket)
