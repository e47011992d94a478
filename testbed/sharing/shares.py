"""Shares: given, changed and taken away by a testbed's owner or a lab admin.

Views call this for users who may `Act.SHARE`. Guests get and lose the keys of those who
may use them: the worker is asked to write them at once, and does so each half minute.
"""

from django.contrib.auth.models import Group, User
from django.utils import timezone

from orchestration.errors import TestbedError
from testbed.access.permissions import Act, record_act
from testbed.celery import request_key_pushes
from testbed.models import Share, Testbed
from testbed.testbeds.resumable.receiving import end_forbidden

MOST_SHARES = 200


class ShareRefused(TestbedError):
    """Nothing was shared."""


def share_with(testbed: Testbed, who: User | Group, role: str, by: User) -> Share:
    """Give a user or the members of a group a role, or another one.

    The uploads of those who may not edit any more end.
    Raises: ShareRefused.
    """
    key = {"user": who} if isinstance(who, User) else {"group": who}
    if role not in Share.Role.values:
        raise ShareRefused("Choose a role.")
    if who == testbed.owner:
        raise ShareRefused(f"{who} is the owner of {testbed}.")
    others = testbed.shares.exclude(**key)
    if others.count() >= MOST_SHARES:
        raise ShareRefused(
            f"{testbed} has {MOST_SHARES} shares; no more are possible.",
            hint="Share it with a group.",
        )
    given = {"role": role, "given_by": by, "given_at": timezone.now()}
    share, _ = Share.objects.update_or_create(testbed=testbed, defaults=given, **key)
    end_forbidden(testbed)  # of an editor who is none any more
    _note(share, by, f"made {_named(share)} {role}")
    return share


def change_share(share: Share, role: str, by: User) -> None:
    """Give another role. Raises: ShareRefused."""
    who = share.user or share.group
    if who is not None:
        share_with(share.testbed, who, role, by)


def take_away(share: Share, by: User) -> None:
    """Take a share away, and end the uploads that were sent by it.

    Open pages, sockets and consoles lose it within seconds.
    """
    what = f"took {share.role} from {_named(share)}"
    share.delete()
    end_forbidden(share.testbed)
    _note(share, by, what)


def _named(share: Share) -> str:
    return f"group {share.group}" if share.group else str(share.user)


def _note(share: Share, by: User, what: str) -> None:
    record_act(by, Act.SHARE, share.testbed, what)
    request_key_pushes()
