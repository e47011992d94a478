"""Ends a task's leftover processes and records the proof.

Used by the engine after each task and each batch. The engine decides which of the
machines that a scope has entered are asked.
"""

from collections.abc import Iterable

from orchestration.errors import TestbedError
from orchestration.transport.base import Ended, Process, Scope, Transport


def end_left(scope: Scope, machines: Iterable[Transport]) -> None:
    """End the scope's processes on these machines; add the proofs to it.

    A machine that did not answer before is not asked again: each attempt costs seconds,
    and the sweeper asks later.
    """
    silent = {proof.machine for proof in scope.ended if is_unknown(proof)}
    for machine in machines:
        if machine.machine not in silent:
            scope.ended.append(_ended(machine, scope.tag))


def ask_again(scope: Scope, machine: Transport) -> None:
    """Replace the unknown results of a machine that answers again by a proof.

    Raises: HostUnreachable.
    """
    unknown = [p for p in scope.ended if p.machine == machine.machine and is_unknown(p)]
    if unknown:
        proof = machine.end(scope.tag)
        scope.ended[:] = [p for p in scope.ended if p not in unknown]
        scope.ended.append(proof)


def words_of(proofs: Iterable[Ended]) -> str:
    """Say what the proofs of one task prove; nothing where a process may be left."""
    proofs = tuple(proofs)
    if not proofs or any(proof.survivors for proof in proofs):
        return ""
    if all(proof.by_group for proof in proofs):
        return "All its processes have ended."
    return "No process that carries its mark is left."


def is_unknown(proof: Ended) -> bool:
    """Return whether the machine could not be asked about its processes."""
    return any(process.pid == 0 for process in proof.survivors)


def _ended(machine: Transport, tag: str) -> Ended:
    try:
        return machine.end(tag)
    except TestbedError as exc:
        return Ended(machine.machine, (), (Process(0, f"not asked: {exc.message}"),))
