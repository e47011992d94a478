"""How an execution ended, in words: on how many guests, and where not."""

from collections import defaultdict

from orchestration.amounts import count_of
from orchestration.events import SUCCESSFUL
from orchestration.plan.model import Kind
from orchestration.state.selection import fold
from testbed.models import Run, Task

ENDINGS = {
    Task.Status.FAILED: "failed on",
    Task.Status.CANCELLED: "cancelled on",
    Task.Status.SKIPPED: "not begun on",
    Task.Status.WAITING: "not begun on",
    Task.Status.RUNNING: "not ended on",
}


def execution_words(run: Run) -> tuple[str, str]:
    """Return the message and the hint of an execution that is over."""
    tasks = Task.objects.filter(instruction__run=run).exclude(
        instruction__kind=Kind.END
    )
    names = defaultdict(list)
    for name, status in tasks.values_list("resource", "status"):
        names[status].append(name)
    total = sum(map(len, names.values()))
    good = sum(len(names[status]) for status in SUCCESSFUL)
    if good == total:
        return (
            f"Succeeded on {'all ' if total > 1 else ''}{count_of(total, 'guest')}.",
            "",
        )
    parts = [
        f"{words} {fold(names[status])}"
        for status, words in ENDINGS.items()
        if names[status]
    ]
    message = f"Succeeded on {good} of {count_of(total, 'guest')}; {'; '.join(parts)}."
    failed = bool(names[Task.Status.FAILED])
    return message, "See their answers, then run it again on @failed." if failed else ""
