"""A run that waits for its workers, and machines that answer a sweeper.

For the tests of what workers do with batches. A test takes batches itself, or lets the
doors run them, and says of each machine what is left on it when it is asked to end what
a run began.
"""

import pytest

from orchestration.transport.base import Ended, Process
from testbed import worker
from testbed.runs.dispatch import accept


@pytest.fixture
def on_two_hosts(make_run, doors):
    """A run whose `check-hosts` was accepted: two queued batches."""
    run = make_run()
    for instruction in run.instructions.all():
        accept(run.pk, instruction.index, instruction.kind, channel="tab")
        if instruction.kind == "check-hosts":
            break
        doors.run_sent()
    return run


@pytest.fixture
def machines(monkeypatch):
    """Machines by name that answer `end`, with survivors or an error."""

    class Machine:
        def __init__(self):
            self.tags, self.survivors, self.error = [], (), None

        def end(self, tag):
            self.tags.append(tag)
            if self.error:
                raise self.error
            return Ended(
                "it", (Process(7, "sleep 600"), *self.survivors), self.survivors
            )

    known = {}

    def machine(state, host, name):
        return known.setdefault(name, Machine())

    monkeypatch.setattr(worker, "machine", machine)
    for name in ("main", "host-b"):
        machine(None, name, name)
    return known
