"""The instruction of `exec` that fetches a guest's whole serial log from its host.

QEMU begins the log anew with each start of the guest; where virtlogd writes it, it is
cut into files by their size. The guest decides how long it gets, so it counts in the
testbed's quota of fetched files. It is there complete, or not at all.
"""

import os
from pathlib import Path

from orchestration.amounts import size
from orchestration.errors import CommandFailed, CommandTimedOut, StateError
from orchestration.files import give_to_owner_of
from orchestration.instructions.execution.fetches import not_written
from orchestration.instructions.execution.programs import execution_of
from orchestration.instructions.task import Outcome, Task, done
from orchestration.project.fetched import Arrival
from orchestration.providers.guest.console import whole_log
from orchestration.providers.guest.copies.unpacking import ENTRY_BYTES
from orchestration.transport.base import OnBytes


def log_name(guest: str) -> str:
    """Return the name of a guest's log among the fetched files."""
    return f"{guest}-serial.log"


def fetch_serial_logs(task: Task) -> Outcome:
    """Copy one guest's serial log from its host to main.

    Raises: CommandFailed (there is none), CommandTimedOut, NotEnoughSpace.
    """
    if task.fetched is None:
        raise StateError("There is no folder for the guests' files.")
    guest = task.resource.key
    arrival = Arrival(task.fetched, guest, task.quota)
    try:
        with arrival.opened() as folder:
            taken = _receive(task, arrival, folder / log_name(guest))
            return done(f"{size(taken)} of its serial log")
    except OSError as exc:
        raise not_written(exc, guest) from exc


def _receive(task: Task, arrival: Arrival, path: Path) -> int:
    """Write the log to a new file and return its size."""
    arrival.spend(ENTRY_BYTES)
    report, total = task.on_progress("fetch"), 0
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
    with os.fdopen(os.open(path, flags, 0o600), "wb") as file:
        give_to_owner_of(path.parent, file.fileno())

        def take(data: bytes) -> None:
            nonlocal total
            arrival.spend(len(data))
            file.write(data)
            total += len(data)
            report(total, 0)

        _read(task, take)
    return total


def _read(task: Task, take: OnBytes) -> None:
    guest = task.state.guest(task.resource.key)
    limit_s = execution_of(task).conditions.timeout_s
    name = f"serial log of guest {guest.name} on {guest.host}"
    try:
        ended = task.host.transport.run(
            whole_log(guest.console),
            scope=task.scope,
            timeout_s=limit_s,
            check=False,
            on_bytes=take,
        )
    except CommandTimedOut as exc:
        raise CommandTimedOut(
            f"The {name} did not arrive within {limit_s} s; nothing was kept.",
            exit_code=exc.exit_code,
            hint="Give it more time.",
        ) from exc
    if ended.exit_code != 0:
        raise CommandFailed(
            f"Could not read the {name}; nothing was kept.",
            exit_code=ended.exit_code,
            hint="It is there from the guest's first start on.",
            detail=ended.stderr,
        )
