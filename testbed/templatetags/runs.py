"""What the outcome panel of a run asks for: what failed, and what is there now.

Filters rather than context, because the panel is rendered by a view and by the
websocket from nothing but the run. Reads rows only.
"""

from collections import Counter

from django import template
from django.conf import settings

from testbed.models import Run, Task
from testbed.templatetags.display import display_of, plural

register = template.Library()


@register.filter
def failed_tasks(run: Run) -> list[Task]:
    """Return the tasks of a run that failed, in the order of its plan."""
    found = Task.objects.filter(instruction__run=run, status=Task.Status.FAILED)
    return list(found.order_by("instruction__index", "id"))


@register.filter
def is_updated(run: Run) -> bool:
    """Say whether the hosts were read since a run ended."""
    observed_at, ended_at = run.testbed.observed_at, run.ended_at
    return bool(observed_at and ended_at and observed_at >= ended_at)


@register.filter
def whats_there(run: Run) -> str:
    """Say how many guests were last seen in which state; empty when none is there."""
    statuses = run.testbed.observed_guests.values_list("status", flat=True)
    counts = Counter(display_of(status)[2] for status in statuses if status != "absent")
    return ", ".join(
        f"{plural(count, 'guest')} {word}" for word, count in counts.items()
    )


@register.simple_tag
def kept_for() -> str:
    """Say for how long logs are kept; 0 days mean for ever, since this one went."""
    days = settings.KEEP_RUNS_DAYS
    return f"kept for {plural(days, 'day')}" if days else "logs are kept for ever now"
