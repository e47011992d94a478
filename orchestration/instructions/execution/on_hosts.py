"""The instruction of `exec` on testbed hosts: a lab admin's command on a host itself.

It goes over the connection that all instructions use. On main it is a child of the
worker, with the worker's rights; the worker's environment, which has its secrets, is
not passed on. Processes that are left behind are ended, as after each instruction.
"""

from orchestration.instructions.execution.programs import answered, limited
from orchestration.instructions.task import Outcome, Task
from orchestration.providers.guest.programs import in_own_environment


def run_on_host(task: Task) -> Outcome:
    """Run the execution's program on one host and keep its answer.

    Raises: HostUnreachable, StateError (the script is gone).
    """
    transport = task.host.transport
    return answered(task, transport, scope=limited(task), around=in_own_environment)
