"""The instructions that set guests up: the user's scripts in them.

A script of the user runs once: its digest and exit code are recorded after it ended.
It runs again when it changed, failed, or when the user asks for it. The file's current
content counts, because a script is fixed while its testbed is up.
"""

from hashlib import sha256

from orchestration.compose.files import open_real
from orchestration.errors import CommandFailed, StateError
from orchestration.events import Status, Stream
from orchestration.instructions.boot.addresses import address_problems
from orchestration.instructions.boot.reaching import (
    require_running,
    wait_until_reachable,
)
from orchestration.instructions.boot.user_keys import renew_keys
from orchestration.instructions.contexts import renew_context
from orchestration.instructions.task import Outcome, Task, done, unchanged
from orchestration.instructions.user_scripts import run_user_script
from orchestration.state.model import GuestState, ScriptState
from orchestration.transport.base import Transport

WRONG_ADDRESS = (
    "See in its console whether its system asks for the address. A lease of another "
    "MAC ends after an hour: restart the guest then."
)


def set_up_guests(task: Task) -> Outcome:
    """Wait for one guest and run its setup script once.

    A guest without a seed has no account for us: it is ready when it runs.
    """
    guest = task.state.guest(task.resource.key)
    if not guest.seed:
        require_running(task, guest)
        return unchanged("runs") if guest.markers.reached else _reached(task, guest)
    transport = wait_until_reachable(task, guest)
    problems = address_problems(task, guest, transport)
    for problem in problems:
        task.log(problem, Stream.STDERR)
    outcome = _set_up(task, guest, transport)
    if not problems:
        return outcome
    return Outcome(Status.WARNING, "; ".join(problems), WRONG_ADDRESS, outcome.message)


def _set_up(task: Task, guest: GuestState, transport: Transport) -> Outcome:
    """Bring users' keys and the context and run the setup script, where due."""
    renewed = renew_keys(task, guest, transport)
    renewed = renew_context(task, guest, transport) or renewed
    outcome = _run_setup_script(task, guest, transport)
    return done(renewed) if renewed and outcome.status is Status.UNCHANGED else outcome


def _run_setup_script(task: Task, guest: GuestState, transport: Transport) -> Outcome:
    markers = guest.markers
    if guest.setup_script is None:
        return unchanged("reachable") if markers.reached else _reached(task, guest)
    digest = script_digest(task, guest.setup_script)
    if _is_done(task, digest, markers.script, markers.script_exit_code):
        return unchanged("its setup script ran before")
    exit_code = run_user_script(task, transport, guest.setup_script)
    task.project.mark(guest.name, script=digest, script_exit_code=exit_code)
    return _outcome(task, guest.setup_script, exit_code)


def run_scripts(task: Task) -> Outcome:
    """Run one guest's `run_script`, which starts the experiment, once per boot."""
    guest = task.state.guest(task.resource.key)
    script, markers = guest.run_script, guest.markers
    if script is None:
        return unchanged()
    digest = script_digest(task, script)
    if _is_done(task, digest, markers.run_script, markers.run_script_exit_code):
        return unchanged("it ran since the guest was started")
    transport = wait_until_reachable(task, guest)
    exit_code = run_user_script(task, transport, script)
    task.project.mark(guest.name, run_script=digest, run_script_exit_code=exit_code)
    return _outcome(task, script, exit_code)


def _reached(task: Task, guest: GuestState) -> Outcome:
    task.project.mark(guest.name, reached=guest.spec_hash)
    return done("reachable" if guest.seed else "runs")


def script_digest(task: Task, script: ScriptState) -> str:
    """Return the digest of a script's current content. Raises: StateError."""
    path = task.project.file(script.path)
    if not path.is_file():
        raise StateError(
            f"The script {script.path} is no longer in the testbed's folder.",
            hint="Upload it and start Up again, or stop the testbed with Down.",
        )
    with open_real(path) as file:
        return sha256(file.read()).hexdigest()


def _is_done(task: Task, digest: str, marker: str, exit_code: int | None) -> bool:
    if task.options.rerun_scripts:
        return False
    return marker == digest and exit_code == 0


def _outcome(task: Task, script: ScriptState, exit_code: int) -> Outcome:
    if exit_code == 0:
        return done(f"{script.path} finished (exit 0)")
    raise CommandFailed(
        f"{script.path} in guest {task.resource.key} on {task.resource.host} ended "
        f"with exit code {exit_code}.",
        exit_code=exit_code,
        hint="Read its log, fix the script, and start up again.",
    )
