"""Answers whether a user may do something to a testbed, and logs what was done.

Everything that asks goes through `may`: views, and later sockets, consoles and
templates. Finding an object is `visibility`'s; there, strangers get 404.
"""

import logging
from enum import StrEnum

from django.contrib.auth.models import User
from django.core.exceptions import PermissionDenied

from orchestration.plan.execution import Execution, Form
from orchestration.plan.selected import WAYS, GuestUp, Mode
from testbed.models import Testbed

logger = logging.getLogger(__name__)


class Act(StrEnum):
    """One thing that a user may do to a testbed."""

    EXECUTE = "run a command"
    POWER = "start and stop guests"
    UP_GUESTS = "bring guests up"
    RECREATE_GUESTS = "recreate guests"
    CHECK = "check guests"
    CONSOLE = "type into consoles"
    WATCH_CONSOLE = "watch consoles"
    SSH = "reach guests with SSH"
    EXECUTE_ON_HOSTS = "run a command on hosts"
    SAVE_COMMAND = "save commands"
    TAKE_FETCHED = "take fetched files"
    SHARE_COMMAND = "share commands with all testbeds"


_FOR_ADMINS = (Act.EXECUTE_ON_HOSTS, Act.SHARE_COMMAND)


def act_of(wanted: Execution) -> Act:
    """Return what a user has to be allowed who runs this."""
    if wanted.form is Form.SERIAL_LOG:
        return Act.WATCH_CONSOLE
    return act_on(hosts=wanted.is_on_hosts)


def act_on(*, hosts: bool) -> Act:
    """Return what a user has to be allowed who runs something there."""
    return Act.EXECUTE_ON_HOSTS if hosts else Act.EXECUTE


def may(user: User, act: Act, testbed: Testbed) -> bool:
    """Return whether a user may do this: its owner almost all, lab admins all."""
    if not user.is_active or user.is_superuser:
        return user.is_active
    return testbed.owner_id == user.pk and act not in _FOR_ADMINS


def act_up(way: GuestUp) -> Act:
    """Return what a user has to be allowed who brings guests up in this way."""
    return Act.RECREATE_GUESTS if way.loses_data else Act.UP_GUESTS


def ways_for(user: User, testbed: Testbed) -> list[GuestUp]:
    """Return the ways to bring guests up that are offered beside their power."""
    offered = (WAYS[Mode.UP], WAYS[Mode.RECREATE])
    return [way for way in offered if may(user, act_up(way), testbed)]


def require(user: User, act: Act, testbed: Testbed) -> None:
    """Let a user do this. Raises: PermissionDenied."""
    if not may(user, act, testbed):
        raise PermissionDenied(f"{user} may not {act} on {testbed}.")


def log_act(user: User, act: Act, testbed: Testbed, what: str) -> None:
    """Log on one line that a user did something to a testbed."""
    # A command has any characters: a line break would begin another record.
    line = "".join(c if c.isprintable() else ascii(c)[1:-1] for c in what)
    logger.info("act %s by %s on %s: %s", act.name.lower(), user, testbed, line)
