"""The instruction of `exec`: a user's command, line or script in one guest.

It waits for no boot: a guest that does not answer now fails at once, and the others go
on. Its output goes to the guest's answer, whole up to the budget of a task, and its
first and last lines also to the log that a page follows.
"""

import contextlib
import secrets
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from orchestration.amounts import count_of, size
from orchestration.compose.files import open_real
from orchestration.errors import (
    Cancelled,
    CommandTimedOut,
    GuestUnreachable,
    HostUnreachable,
    StateError,
    TestbedError,
)
from orchestration.events import Answer, Status, Stream
from orchestration.instructions.boot.host_keys import known_key
from orchestration.instructions.bounded_log import BoundedLog
from orchestration.instructions.execution.answers import AnswerFile
from orchestration.instructions.task import Outcome, Task
from orchestration.plan.execution import Execution, Form
from orchestration.providers.guest import programs
from orchestration.state.model import GuestState
from orchestration.transport.base import Command, Scope, Transport, command

# The part of each guest's output that is shown in the log while the command runs. A
# tool is followed by its log, which has all that is kept.
FOLLOWED_BYTES = 64 * 1024
CLEAN_UP_S = 10.0
# A script is in memory once for each guest at work.
MOST_SCRIPT_BYTES = 8 * 1024 * 1024
# Ten years, a number that every clock takes.
UNLIMITED_S = 10 * 366 * 24 * 3600.0
_NO_AGENT = (
    "No QEMU guest agent answers in it, through which it could be asked as well."
)
Wrapping = Callable[[Command], Command]
_NOT_FOUND, _NOT_EXECUTABLE, _SIGNALLED = 127, 126, 128
# As timeout(1) has it.
LATE = 124


def _as_it_is(cmd: Command) -> Command:
    return cmd


@dataclass(frozen=True, slots=True)
class _Program:
    """A command that is ready to run; `script` is the file that it removes."""

    cmd: Command
    script: str = ""


def run_program(task: Task) -> Outcome:
    """Run the execution's program in one guest and keep its answer.

    Raises: GuestUnreachable (it does not answer), StateError (the script is gone).
    """
    return in_guest(task, partial(answered, task, scope=limited(task)))


def limited(task: Task) -> Scope:
    """Return the task's scope with the execution's time limit, from now on.

    It covers connecting and the copy of a script. A tool may have none.
    """
    limit_s = execution_of(task).conditions.timeout_s
    return task.scope.limited(limit_s) if limit_s else task.scope


@contextlib.contextmanager
def raising_late(task: Task) -> Iterator[None]:
    """Raise CommandTimedOut where a limited scope ended the work, and no cancel."""
    try:
        yield
    except Cancelled as exc:
        task.scope.check_cancelled()
        raise CommandTimedOut("The time limit is over.", exit_code=LATE) from exc


def answered(
    task: Task, transport: Transport, *, scope: Scope, around: Wrapping = _as_it_is
) -> Outcome:
    """Run the execution's program on a machine, in `scope`, and keep its answer.

    `around` gives the command that runs in the place of the program's own.
    """
    wanted = execution_of(task)
    answer = AnswerFile(answer_path(task), budget_bytes=task.log_bytes)
    exit_code = None
    try:
        with raising_late(task):
            ready = _prepare(task, wanted, transport, scope)
            try:
                exit_code = _run(task, transport, around(ready.cmd), answer, scope)
            except BaseException:
                _remove(transport, ready.script)
                raise
    except CommandTimedOut:
        return _late(task, transport, answer.close(None))
    except Cancelled as exc:  # a tool has no other end
        message = "Stopped." if wanted.tool else exc.message
        return Outcome(Status.CANCELLED, message, answer=answer.close(None))
    except BaseException:
        answer.close(None)
        raise
    return _outcome(exit_code, answer)


def execution_of(task: Task) -> Execution:
    """Return what the task does. Raises: StateError for a plan without it."""
    if task.execution is None:
        raise StateError("The plan does not say what is to be run.")
    return task.execution


def copied(files: int, size_bytes: int) -> str:
    """Describe a copy whose digest was compared at its end."""
    return f"{count_of(files, 'file')}, {size(size_bytes)}, digest verified"


def in_guest(task: Task, act: Callable[[Transport], Outcome]) -> Outcome:
    """Act in the task's guest: over SSH, else through its QEMU agent if one answers.

    A guest without a login has its agent alone, and so has one whose host key is not
    known or another one: its host, not the network, leads to the agent. The outcome
    notes that way. What may have begun over SSH is not begun again. Raises:
    GuestUnreachable, and the errors of `act`.
    """
    guest = task.state.guest(task.resource.key)
    agent = task.hosts.agent(task.state, guest)
    if guest.seed:
        transport = None
        try:
            transport = _login(task, guest)
            return act(transport)
        except (GuestUnreachable, HostUnreachable) as exc:
            if transport in task.scope.entered:
                raise _lost(guest, exc) from exc
            if not agent.answers():
                raise _lost(guest, exc, _NO_AGENT) from exc
            task.log(f"goes through the guest's agent: {exc.message}")
    try:
        return _through_agent(act(agent))
    except HostUnreachable as exc:
        raise _lost(guest, exc) from exc


def _through_agent(found: Outcome) -> Outcome:
    if found.answer is not None:
        return replace(found, answer=replace(found.answer, by_agent=True))
    return replace(found, message=f"{found.message}; through the guest's agent")


def _login(task: Task, guest: GuestState) -> Transport:
    """Return the guest's SSH. Raises: GuestUnreachable (its host key is not known)."""
    key = known_key(task, guest)
    if not key and task.host.state.boots_guests:
        raise GuestUnreachable(
            f"Guest {guest.name} on {guest.host} has not reported its SSH host key.",
            hint="Its first boot may go on: wait, or see its console.",
            retryable=True,
        )
    return task.hosts.guest(task.state, guest, host_key=key)


def _lost(
    guest: GuestState, error: GuestUnreachable | HostUnreachable, remark: str = ""
) -> GuestUnreachable:
    message = f"Guest {guest.name} on {guest.host} does not answer: {error.message}"
    if isinstance(error, GuestUnreachable):
        message = error.message
    return GuestUnreachable(
        message,
        hint=f"{error.hint or 'See its console.'} {remark}".rstrip(),
        detail=error.detail,
        retryable=True,
    )


def answer_path(task: Task) -> Path:
    """Return the file of the guest's answer. Raises: StateError without a folder."""
    if task.answers is None:
        raise StateError("There is no folder for the guests' answers.")
    return task.answers / task.resource.key


def _late(task: Task, transport: Transport, answer: Answer) -> Outcome:
    """Return the end by the time limit, which may come before anything was sent."""
    limit = f"within {execution_of(task).conditions.timeout_s} s"
    message = f"was not reached {limit}: nothing was begun"
    if transport in task.scope.entered:
        message = f"did not end {limit} and was ended"
    return Outcome(Status.FAILED, message, "Give it more time.", answer=answer)


def _prepare(
    task: Task, wanted: Execution, transport: Transport, scope: Scope
) -> _Program:
    if wanted.form is Form.COMMAND:
        return _Program(programs.program(wanted.words, wanted.conditions))
    if wanted.form is Form.SHELL:
        return _Program(programs.shell_line(wanted.words[0], wanted.conditions))
    content = _script_content(task, wanted)
    place = programs.script_place(secrets.token_hex(6), wanted.path)
    transport.put(content, place, scope=scope, mode=0o755)
    cmd = programs.script(content, place, wanted.words, wanted.conditions)
    return _Program(cmd, place)


def _script_content(task: Task, wanted: Execution) -> bytes:
    if wanted.text:
        return wanted.text.replace("\r\n", "\n").encode()
    path = task.project.file(wanted.path)
    if path.is_dir():
        raise StateError(
            f"{wanted.path} is a folder of the testbed, and no script.",
            hint="Name a file in it.",
        )
    if not path.is_file():
        raise StateError(
            f"The script {wanted.path} is not in the testbed's folder.",
            hint="Upload it, or paste the script.",
        )
    with open_real(path) as file:
        content = file.read(MOST_SCRIPT_BYTES + 1)
    if len(content) > MOST_SCRIPT_BYTES:
        raise StateError(
            f"The script {wanted.path} has more than {size(MOST_SCRIPT_BYTES)}.",
            hint="Push it as a file, and run it by a command.",
        )
    return content


def _run(
    task: Task, transport: Transport, cmd: Command, answer: AnswerFile, scope: Scope
) -> int:
    wanted = execution_of(task)
    budget_bytes = task.log_bytes if wanted.tool else FOLLOWED_BYTES
    followed = BoundedLog(task.tell_line, budget_bytes)

    def on_line(stream: Stream, text: str) -> None:
        answer.add(stream, text)
        followed.add(stream, text)

    try:
        return transport.run(
            cmd,
            scope=scope,
            timeout_s=UNLIMITED_S,
            on_line=on_line,
            check=False,
        ).exit_code
    finally:
        followed.close()


def _remove(transport: Transport, script: str) -> None:
    """Remove the script of a program that was ended; the guest may be gone, too."""
    if script:
        with contextlib.suppress(TestbedError):
            transport.run(
                command("rm", "-f", "--", script), scope=Scope(), timeout_s=CLEAN_UP_S
            )


def _outcome(exit_code: int, file: AnswerFile) -> Outcome:
    answer = file.close(exit_code)
    if exit_code == 0:
        return Outcome(Status.DONE, answer=answer)
    return Outcome(Status.FAILED, _ending(exit_code), answer=answer)


def _ending(exit_code: int) -> str:
    """Describe an exit code as shells do."""
    if exit_code == _NOT_FOUND:
        return "exit code 127: the program was not found"
    if exit_code == _NOT_EXECUTABLE:
        return "exit code 126: it cannot be run"
    if _SIGNALLED < exit_code < _SIGNALLED + signal.NSIG:
        with contextlib.suppress(ValueError):
            name = signal.Signals(exit_code - _SIGNALLED).name
            return f"exit code {exit_code}: ended by {name}"
    return f"exit code {exit_code}"
