"""Shows when a page's facts were read, in words, and a notice when that is long ago."""

from collections.abc import Iterable
from datetime import datetime

from django import template

from testbed.models import Host, Testbed
from testbed.pages import freshness
from testbed.pages.freshness import ago, elapsed

register = template.Library()


@register.filter
def updated(moment: datetime | None) -> str:
    """Show the time of a look: `updated just now`, `not updated for 52 s`."""
    if moment is None:
        return "never updated"
    if freshness.is_late(moment):
        is_long = freshness.age_s(moment) >= 3600
        return f"last updated {ago(moment)}" if is_long else _not_for(moment)
    return "updated just now" if freshness.is_fresh(moment) else _before(moment)


@register.inclusion_tag("_not_updated.html")
def not_updated(
    testbed: Testbed | None = None, hosts: Iterable[Host] | None = None
) -> dict[str, object]:
    """Show why a testbed's facts, or those of all hosts, are late; else nothing.

    `hosts` are all hosts, where the page has read them.
    """
    return {"silence": freshness.silence(testbed, hosts)}


def _before(moment: datetime) -> str:
    return f"updated {elapsed(moment)} ago"


def _not_for(moment: datetime) -> str:
    return f"not updated for {elapsed(moment)}"
