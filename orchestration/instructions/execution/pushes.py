"""The instruction of `exec` that pushes a testbed's file or folder to one guest."""

import contextlib
from collections.abc import Iterator
from functools import partial
from pathlib import Path

from orchestration.errors import (
    CommandTimedOut,
    HostUnreachable,
    StateError,
    TestbedError,
)
from orchestration.instructions.execution.programs import (
    CLEAN_UP_S,
    UNLIMITED_S,
    copied,
    execution_of,
    in_guest,
    limited,
    raising_late,
)
from orchestration.instructions.task import Outcome, Task, done
from orchestration.plan.execution import Execution
from orchestration.project.packing import Measure, Packing, measure
from orchestration.providers.guest.copies.receiving import (
    Target,
    push_failed,
    receive_command,
    remove_command,
    target_of,
)
from orchestration.transport.base import Completed, Scope, Transport


def push_files(task: Task) -> Outcome:
    """Copy the execution's file or folder to its target in one guest.

    Raises: PathOutside, StateError (no such file), GuestUnreachable, CommandFailed,
    NotEnoughSpace.
    """
    source = _source(task, execution_of(task))
    amount = measure(source)
    return in_guest(task, partial(_push, task, (source, amount), limited(task)))


def _push(
    task: Task, given: tuple[Path, Measure], scope: Scope, transport: Transport
) -> Outcome:
    wanted, guest, (_, amount) = execution_of(task), task.resource.key, given
    target = target_of(wanted.target)
    try:
        with raising_late(task):
            ended = _send(task, transport, target, given, scope)
    except HostUnreachable:
        raise
    except CommandTimedOut as exc:
        if transport in task.scope.entered:
            _remove(transport, target, wanted)
        raise CommandTimedOut(
            f"{wanted.path} was not copied to guest {guest} within "
            f"{wanted.conditions.timeout_s} s; nothing was kept.",
            exit_code=exc.exit_code,
            hint="Give it more time.",
        ) from exc
    except BaseException:
        _remove(transport, target, wanted)
        raise
    if ended.exit_code != 0:
        raise push_failed(ended, target, guest)
    return done(copied(amount.files, amount.size_bytes))


def _source(task: Task, wanted: Execution) -> Path:
    source = task.project.file(wanted.path)
    if not source.exists():
        raise StateError(
            f"{wanted.path} is not in the testbed's folder.",
            hint="Upload it, or choose another file.",
        )
    return source


def _send(
    task: Task,
    transport: Transport,
    target: Target,
    given: tuple[Path, Measure],
    scope: Scope,
) -> Completed:
    """Run the receiver and feed it."""
    source, amount = given
    conditions = execution_of(task).conditions
    return transport.run(
        receive_command(
            target,
            conditions,
            is_folder=amount.is_folder,
            size_bytes=amount.size_bytes,
        ),
        scope=scope,
        timeout_s=UNLIMITED_S,
        check=False,
        feed=_fed(task, Packing(source), amount),
    )


def _fed(task: Task, packing: Packing, amount: Measure) -> Iterator[bytes]:
    report = task.on_progress("push")
    report(0, amount.size_bytes)
    for piece in packing.stream():
        yield piece
        report(min(packing.sent_bytes, amount.size_bytes), amount.size_bytes)


def _remove(transport: Transport, target: Target, wanted: Execution) -> None:
    """Remove what an ended push left; its program did so, unless it was killed."""
    with contextlib.suppress(TestbedError):
        transport.run(
            remove_command(target, wanted.conditions),
            scope=Scope(),
            timeout_s=CLEAN_UP_S,
        )
