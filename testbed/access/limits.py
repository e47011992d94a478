"""How much one user may have: testbeds, files, disks, logs and open websockets.

The installation's limits are settings; an admin gives a user others by an `Allowance`.
`testbeds/files.py`, `testbeds/disk_space.py` and the websocket ask here before they make
something; `testbed/retention.py` removes the oldest logs above the limits.
"""

from dataclasses import dataclass

from django.conf import settings
from django.contrib.auth.models import User

from orchestration.amounts import size
from orchestration.errors import TestbedError
from testbed.models import Allowance, Testbed

MIB = 1024 * 1024
GIB = 1024 * MIB


class LimitReached(TestbedError):
    """A user has as much as is allowed; nothing was made."""


@dataclass(frozen=True, slots=True)
class Limits:
    """How much a user may have."""

    testbeds: int
    sockets: int
    testbed_mib: int
    user_mib: int
    testbed_disk_gib: int
    user_disk_gib: int
    testbed_log_mib: int
    user_log_mib: int


def limits_of(user: User) -> Limits:
    """Return a user's limits."""
    own = Allowance.objects.filter(user=user).first()
    found: dict[str, int] = dict(settings.USER_LIMITS)
    for name in found:
        value = getattr(own, name, None)
        found[name] = found[name] if value is None else value
    return Limits(**found)


def require_testbed(user: User) -> None:
    """Let a user create one more testbed. Raises: LimitReached."""
    limit, used = limits_of(user).testbeds, Testbed.objects.filter(owner=user).count()
    if used >= limit:
        raise LimitReached(
            f"{user.username} has {used} testbeds; {limit} are allowed.",
            hint="Delete one that is not needed, or ask your lab's admin for more.",
        )


def require_files(user: User, *, in_testbed: int, elsewhere: int) -> None:
    """Let a user keep so many bytes of files. Raises: LimitReached.

    `in_testbed` counts the new files beside the old ones that they do not replace.
    """
    limits = limits_of(user)
    _require(user, "files", in_testbed, limits.testbed_mib * MIB)
    _require(user, "files", in_testbed + elsewhere, limits.user_mib * MIB, in_all=True)


def require_disks(user: User, *, in_testbed: int, elsewhere: int) -> None:
    """Let a user's disks grow to so many bytes. Raises: LimitReached.

    Seeds and snapshots are included.
    """
    limits, total = limits_of(user), in_testbed + elsewhere
    _require(user, "disks", in_testbed, limits.testbed_disk_gib * GIB)
    _require(user, "disks", total, limits.user_disk_gib * GIB, in_all=True)


def _require(
    user: User, things: str, used: int, limit: int, *, in_all: bool = False
) -> None:
    if used <= limit:
        return
    where = f"all testbeds of {user.username}" if in_all else "this testbed"
    would = "would take" if things == "files" else "may grow to"
    deleted = "disks or snapshots" if things == "disks" else things
    trash = " and empty the trash" if things == "files" else ""
    raise LimitReached(
        f"The {things} of {where} {would} {size(used)}; {size(limit)} are allowed.",
        hint=f"Delete {deleted} that are not needed{trash}, or ask your lab's admin for "
        "more.",
    )
