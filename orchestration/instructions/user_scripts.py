"""Runs one script of the user in a guest, also through restarts of the guest.

A script with a known exit code has ended, with or without a later restart of the guest.
A script that a restart cut off runs again from its start, a few times at most.
"""

import time
from dataclasses import dataclass
from pathlib import PurePosixPath

from orchestration.compose.files import open_real
from orchestration.errors import GuestUnreachable, HostUnreachable
from orchestration.instructions.boot.reaching import wait_until_reachable
from orchestration.instructions.task import Task
from orchestration.providers.guest.programs import script_place
from orchestration.providers.guest.user_script import (
    RESTARTS_VARIABLE,
    Record,
    parse_record,
    record_command,
    script_command,
)
from orchestration.state.model import ScriptState
from orchestration.transport.base import Transport

# A researcher's set-up may build software; a script that hangs longer is ended.
SCRIPT_TIMEOUT_S = 6 * 3600.0
MAX_RESTARTS = 3
# systemd gives a service 90 s to stop before it kills it.
RESTART_TIMEOUT_S = 120.0
LOOK_EVERY_S = 1.0


@dataclass(frozen=True, slots=True)
class _Script:
    """One script: its content, read once, and its path in the guest."""

    state: ScriptState
    content: bytes
    target: str


def run_user_script(task: Task, transport: Transport, script: ScriptState) -> int:
    """Run a script of the user in a guest and return its exit code.

    Raises: GuestUnreachable (the guest is lost, or restarts again and again).
    """
    source = task.project.file(script.path)
    target = script_place(task.resource.key, source.name)
    with open_real(source) as file:
        found = _Script(script, file.read(), target)
    task.log(f"runs {script.path}")
    for restarts in range(MAX_RESTARTS + 1):
        task.progress(0, 0, unit="", note=f"runs {script.path}")
        exit_code = _run(task, transport, found, restarts)
        if exit_code is not None:
            return exit_code
        task.log(f"the guest restarted before {script.path} ended")
    raise GuestUnreachable(
        f"Guest {task.resource.key} on {task.resource.host} restarted "
        f"{MAX_RESTARTS + 1} times before {script.path} ended.",
        hint=f"Let the script restart the guest only while ${RESTARTS_VARIABLE} is 0, "
        "or as its last command. See its console if the script does not restart it.",
    )


def _run(
    task: Task, transport: Transport, script: _Script, restarts: int
) -> int | None:
    """Run it once; None when a restart of the guest cut it off."""
    _copy(task, transport, script)
    try:
        exit_code = _execute(task, transport, script, restarts)
        is_stopping = _look(task, transport, script).is_stopping
    except HostUnreachable as exc:
        return _wait_for_restart(task, transport, script, exc.message).ended_with
    if is_stopping:
        return _wait_for_restart(task, transport, script, "it restarts").ended_with
    return exit_code


def _copy(task: Task, transport: Transport, script: _Script) -> None:
    note = f"copy {PurePosixPath(script.state.path).name}"
    try:
        transport.put(
            script.content,
            script.target,
            scope=task.scope,
            mode=0o755,
            on_progress=task.on_large(len(script.content), note),
        )
    except HostUnreachable as exc:
        raise _lost(task, script, exc.message) from exc


def _execute(task: Task, transport: Transport, script: _Script, restarts: int) -> int:
    return transport.run(
        script_command(script.content, script.target, restarts=restarts),
        scope=task.scope,
        timeout_s=SCRIPT_TIMEOUT_S,
        on_line=task.on_line,
        check=False,
    ).exit_code


def _wait_for_restart(
    task: Task, transport: Transport, script: _Script, reason: str
) -> Record:
    """Wait until the guest has restarted, or reports how the script ended."""
    task.log(f"waits for the guest: {reason}")
    deadline_s = time.monotonic() + RESTART_TIMEOUT_S
    while True:
        try:
            record = _look(task, transport, script)
        except HostUnreachable as exc:
            reason = exc.message
            wait_until_reachable(task, task.state.guest(task.resource.key))
            continue
        if record.is_settled:
            return record
        if time.monotonic() >= deadline_s:
            raise _lost(task, script, reason)
        task.scope.sleep(LOOK_EVERY_S)


def _look(task: Task, transport: Transport, script: _Script) -> Record:
    cmd = record_command(script.target)
    return parse_record(transport.run(cmd, scope=task.scope, check=False).stdout)


def _lost(task: Task, script: _Script, detail: str) -> GuestUnreachable:
    return GuestUnreachable(
        f"Guest {task.resource.key} on {task.resource.host} was lost while "
        f"{script.state.path} ran.",
        hint="Look at its console, then start up again: the script runs again.",
        detail=detail,
        retryable=True,
    )
