"""The filters of a run's outcome panel: its failed tasks, and the current guests.

Until the hosts were observed again, the run's own results say more than an older
observation. Filters rather than context, because a view and the websocket render the
panel from the run alone. Reads rows only.
"""

from collections import Counter

from django import template

from orchestration.plan.model import Kind, guest_of
from orchestration.plan.power import VERBS
from testbed.models import Event, Run, Task
from testbed.pages.logs import LogFilter, why_removed
from testbed.runs.kept import captured
from testbed.templatetags.display import display_of, plural

register = template.Library()
GUEST_WORDS = {
    Kind.START_GUESTS: "started",
    Kind.STOP_CHANGED_GUESTS: "stopped for a change",
    Kind.STOP_GUESTS: "stopped",
    **{kind: verb.done for kind, verb in VERBS.items()},
}


@register.filter
def failed_tasks(run: Run) -> list[Task]:
    """Return the tasks of a run that failed, in the order of its plan."""
    found = Task.objects.filter(instruction__run=run, status=Task.Status.FAILED)
    ordered = found.order_by("instruction__index", "id")
    return list(ordered.select_related("instruction"))


@register.filter
def guest_in(event: Event, run: Run) -> str:
    """Return the guest that a line of a run's log is of; empty for another thing."""
    return guest_of(run.kinds.get(event.index, ""), event.resource)


@register.filter
def name_in(found: Task | Event | LogFilter, run: Run) -> str:
    """Return what a task, a line or a part of the log is of, as people know it."""
    is_known = getattr(found, "guest", "") or found == LogFilter(host=found.host)
    return str(found.resource if is_known else run.named(found.resource))


@register.filter
def is_updated(run: Run) -> bool:
    """Return whether the hosts were observed since a run ended."""
    observed_at, ended_at = run.testbed.observed_at, run.ended_at
    return bool(observed_at and ended_at and observed_at >= ended_at)


@register.filter
def whats_there(run: Run) -> str:
    """Return how many guests were last seen in which state; empty when none exist."""
    statuses = run.testbed.observed_guests.values_list("status", flat=True)
    counts = Counter(display_of(status)[2] for status in statuses if status != "absent")
    return ", ".join(
        f"{plural(count, 'guest')} {word}" for word, count in counts.items()
    )


@register.filter
def by_results(run: Run) -> str:
    """Return how many guests the run's own tasks started or stopped; empty for none."""
    changed = (Task.Status.DONE, Task.Status.WARNING)
    found = Task.objects.filter(
        instruction__run=run, instruction__kind__in=GUEST_WORDS, status__in=changed
    )
    kinds = Counter(found.values_list("instruction__kind", flat=True))
    return ", ".join(
        f"{plural(count, 'guest')} {GUEST_WORDS[Kind(kind)]}"
        for kind, count in kinds.items()
    )


@register.filter
def only_guest(run: Run) -> str:
    """Return the guest that a run on single guests is about; empty for several."""
    tasks = Task.objects.filter(instruction__run=run).order_by()
    tasks = tasks.filter(instruction__kind__in=(*VERBS, Kind.START_GUESTS))
    names = set(tasks.values_list("resource", flat=True).distinct()[:2])
    return names.pop() if len(names) == 1 else ""


register.filter(why_removed)
register.filter(captured)
