"""Plan a command and write its state at once, as a run does that begins."""

from orchestration.plan.lifecycle import Plan
from orchestration.plan.model import Command, Options
from orchestration.state.model import State
from testbed.models import Testbed
from testbed.testbeds.capacity import add_started
from testbed.testbeds.planning import planned, write


def prepare(testbed: Testbed, command: Command, options: Options) -> tuple[State, Plan]:
    """Return the state and the plan; the guests of Up count from now on."""
    found = planned(testbed, command, options)
    write(testbed, found.state, is_change=found.known is not None)
    if command is Command.UP:
        add_started(testbed, found.needs)
    return found.state, found.plan
