"""Bring a testbed up on simulated hosts with the real engine, without any run.

For tests of what looks at hosts: afterwards guests, bridges and networks are there
as after `up`, and a test takes away what it wants to be missed.
"""

from datetime import timedelta

from django.utils import timezone

from orchestration.engine import Engine, Work, share, state_for
from orchestration.events import Status
from orchestration.hosts import Hosts
from orchestration.plan.lifecycle import plan
from orchestration.plan.model import Command, Kind, Options
from orchestration.state.model import State
from orchestration.transport.base import Scope, command
from testbed.hosts.firewall import current_policy
from testbed.hosts.observation import observe_all
from testbed.models import Testbed
from tests.testbed.preparing import prepare


def come_up(testbed: Testbed, hosts: Hosts) -> State:
    """Bring a testbed up that was made before the hosts were looked at."""
    planned = prepare(testbed, Command.UP, Options())[0]
    obey(testbed, hosts, Command.UP)
    # A testbed younger than the last look has no orphans yet.
    before = timezone.now() - timedelta(hours=1)
    Testbed.objects.update(created_at=before)
    observe_all(hosts)
    return planned


def obey(testbed: Testbed, hosts: Hosts, what: Command) -> dict[tuple[Kind, str], str]:
    """Do every instruction of a command's plan; return each task's message."""
    engine, project = Engine(hosts, tasks_per_host=4), testbed.project
    messages: dict[tuple[Kind, str], str] = {}
    for instruction in plan(what, project.read_state()).instructions:
        for host in dict.fromkeys(r.host for r in instruction.resources):
            state = state_for(instruction, project)
            mine, policy = share(instruction, host), current_policy()
            work = Work(mine, host, state, project, Options(), policy)
            results = engine.run(
                work, scope=Scope("lab.r0.b0."), sink=lambda event: None
            )
            failed = [r.message for r in results if r.status is Status.FAILED]
            assert not failed, failed
            messages |= {(instruction.kind, r.name): r.message for r in results}
    return messages


def on(hosts: Hosts, state: State, host: str, words: str) -> None:
    """Run a command on a host, as somebody past the product would."""
    transport = hosts.open(state.host(host)).transport
    transport.run(command(*words.split()), scope=Scope())
