"""Tells how old a page's facts are, in words, and why they are not updated.

From the times of the looks themselves. A look at the hosts is due every
OBSERVE_EVERY_S; facts are late when LATE_LOOKS of them have not come.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.utils import timezone

from orchestration import amounts
from testbed.models import Host, Testbed

# A dead host delays a look by two periods; a new one then needs one more.
LATE_LOOKS = 4


@dataclass(frozen=True, slots=True)
class Silence:
    """Since when nothing was updated; `hosts` are offline, empty when none was read."""

    since: datetime
    hosts: tuple[str, ...] = ()


def age_s(moment: datetime) -> float:
    """Return the seconds since a look."""
    return (timezone.now() - moment).total_seconds()


def is_fresh(moment: datetime) -> bool:
    """Return whether facts are as new as the looks allow."""
    return age_s(moment) < 2 * settings.OBSERVE_EVERY_S


def is_late(moment: datetime) -> bool:
    """Return whether several looks have not come since."""
    return age_s(moment) >= LATE_LOOKS * settings.OBSERVE_EVERY_S


def silence(
    testbed: Testbed | None = None, hosts: Iterable[Host] | None = None
) -> Silence | None:
    """Return why the facts of a testbed, or of all hosts, are late; else None.

    `hosts` are all hosts, where they were read before.
    """
    if hosts is None:
        hosts = list(Host.objects.only("name", "checked_at", "problem"))
    asked_at = max(filter(None, (one.checked_at for one in hosts)), default=None)
    if asked_at is not None and is_late(asked_at):
        return Silence(asked_at)
    read_at = testbed.observed_at if testbed else None
    if read_at is None or not is_late(read_at):
        return None
    offline = tuple(host.name for host in hosts if host.problem)
    return Silence(read_at, offline) if offline else None


def elapsed(moment: datetime) -> str:
    """Show the time since a start, in the format of the clock in the browser."""
    seconds = max(0, round((timezone.now() - moment).total_seconds()))
    return f"{seconds} s" if seconds < 60 else amounts.duration(seconds)


def remaining(moment: datetime) -> str:
    """Show the time until a moment: `in 3 days`, `in 5 h 12 min`, `now`."""
    minutes = round((moment - timezone.now()).total_seconds() / 60)
    if minutes < 1:
        return "now"
    hours, rest = divmod(minutes, 60)
    if hours >= 72:
        return f"in {round(hours / 24)} days"
    return f"in {hours} h {rest:02} min" if hours else f"in {rest} min"


def ago(moment: datetime | None) -> str:
    """Show a moment in words: `now`, `4 min ago`, `yesterday`, `12 Mar 2026`."""
    if moment is None:
        return "never"
    seconds = (timezone.now() - moment).total_seconds()
    if seconds < 45:
        return "just now"
    if seconds < 3600:
        return f"{max(1, round(seconds / 60))} min ago"
    if seconds < 86400:
        return f"{round(seconds / 3600)} h ago"
    if seconds < 7 * 86400:
        days = max(1, round(seconds / 86400))
        return "yesterday" if days == 1 else f"{days} days ago"
    return timezone.localtime(moment).strftime("%-d %b %Y")
