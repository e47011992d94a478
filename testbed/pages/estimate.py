"""A rough time for the changes of guests, from earlier runs of the same testbed.

Of each kind of instruction that the changes need, the recent one that worked on the
nearest number of guests counts. The network and copies of images are left out. Used by
`changes.py`.
"""

from collections import Counter
from collections.abc import Iterable

from django.db.models import Count, F, Q

from orchestration.plan.model import Kind
from orchestration.state.diff.changes import Change, ChangeKind
from orchestration.state.model import State
from testbed.models import Instruction, Task, Testbed

RECENT = 10
_START = (Kind.START_GUESTS, Kind.SET_UP_GUESTS, Kind.RUN_SCRIPTS)
NEEDED = {
    ChangeKind.REMOVE: (Kind.STOP_GUESTS,),
    ChangeKind.RECREATE: (Kind.STOP_CHANGED_GUESTS, *_START),
    ChangeKind.RESTART: (Kind.STOP_CHANGED_GUESTS, *_START),
    ChangeKind.CHANGE_LIVE: (Kind.CHANGE_INTERFACES,),
    ChangeKind.CHANGE: (Kind.SET_UP_GUESTS, Kind.RUN_SCRIPTS),
    ChangeKind.CREATE: _START,
}


def estimate(testbed: Testbed, wanted: State, guests: Iterable[Change]) -> str:
    """Return the time for the changes of guests in words; empty when none is known."""
    scripted = {guest.name for guest in wanted.guests if guest.run_script}
    counts = Counter(
        kind
        for change in guests
        for kind in NEEDED[change.kind]
        if kind is not Kind.RUN_SCRIPTS or change.name in scripted
    )
    times = [_seconds(testbed, kind, number) for kind, number in counts.items()]
    known = [seconds for seconds in times if seconds is not None]
    if not known:
        return ""
    word = "about" if len(known) == len(times) else "more than"
    return f"{word} {_rough(sum(known))} for these guests, by earlier runs"


def _rough(seconds: float) -> str:
    if seconds < 90:
        return f"{max(1, round(seconds))} s"
    return f"{round(seconds / 60)} min"


def _seconds(testbed: Testbed, kind: Kind, number: int) -> float | None:
    """Return the time of the earlier instruction with the nearest number of guests."""
    did_work = Count("tasks", filter=Q(tasks__status=Task.Status.DONE))
    ended = Instruction.objects.filter(
        run__testbed=testbed,
        kind=kind,
        status=Instruction.Status.SUCCEEDED,
        started_at__isnull=False,
        ended_at__isnull=False,
    )
    took = F("ended_at") - F("started_at")
    earlier = ended.annotate(done=did_work, took=took).filter(done__gt=0)
    found = list(earlier.order_by("-pk").values_list("done", "took")[:RECENT])
    if not found:
        return None
    _, seconds = min(found, key=lambda row: abs(row[0] - number))
    return float(seconds.total_seconds())
