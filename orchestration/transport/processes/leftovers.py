"""What a task may have left running: end it and prove it, or admit that nobody knows.

Used by the engine after each task and each batch. Which of the machines that a scope
has entered are to be looked at is decided there.
"""

from collections.abc import Iterable

from orchestration.errors import TestbedError
from orchestration.transport.base import Ended, Process, Scope, Transport


def end_left(scope: Scope, machines: Iterable[Transport]) -> None:
    """End what carries the scope's tag on these machines; add the proofs to it.

    A machine that could not be asked before is not asked again: each time costs
    seconds, and the sweeper asks later.
    """
    silent = {proof.machine for proof in scope.ended if is_unknown(proof)}
    for machine in machines:
        if machine.machine not in silent:
            scope.ended.append(_ended(machine, scope.tag))


def ask_again(scope: Scope, machine: Transport) -> None:
    """Put a proof in the place of what nobody knew about a machine that is back.

    Raises: HostUnreachable.
    """
    unknown = [p for p in scope.ended if p.machine == machine.machine and is_unknown(p)]
    if unknown:
        proof = machine.end(scope.tag)
        scope.ended[:] = [p for p in scope.ended if p not in unknown]
        scope.ended.append(proof)


def is_unknown(proof: Ended) -> bool:
    """Say whether a machine could not be asked what still runs on it."""
    return any(process.pid == 0 for process in proof.survivors)


def _ended(machine: Transport, tag: str) -> Ended:
    try:
        return machine.end(tag)
    except TestbedError as exc:
        return Ended(machine.machine, (), (Process(0, f"not asked: {exc.message}"),))
