"""Tells how old a page's facts are, and why they are not updated.

From the times of the looks themselves. A look at the hosts is due every
OBSERVE_EVERY_S; facts are late when LATE_LOOKS of them have not come.
"""

from dataclasses import dataclass
from datetime import datetime

from django.conf import settings
from django.db.models import Max
from django.utils import timezone

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


def silence(testbed: Testbed | None = None) -> Silence | None:
    """Return why the facts of a testbed, or of all hosts, are late; else None."""
    asked_at = Host.objects.aggregate(newest=Max("checked_at"))["newest"]
    if asked_at is not None and is_late(asked_at):
        return Silence(asked_at)
    read_at = testbed.observed_at if testbed else None
    if read_at is None or not is_late(read_at):
        return None
    offline = Host.objects.exclude(problem="").values_list("name", flat=True)
    return Silence(read_at, tuple(offline)) if offline else None
