"""Lets a guest accept the SSH keys of its testbed's users.

`set_up_guests` does it in each Up; the web's periodic task does it between runs, where
keys changed while the guest ran or was off. The marker tells both what the guest has.
"""

from collections.abc import Sequence

from orchestration.amounts import count_of
from orchestration.errors import CommandFailed, CommandTimedOut, HostUnreachable
from orchestration.events import Stream
from orchestration.instructions.task import Task
from orchestration.project.folder import Project
from orchestration.providers.guest.cloud_init import READY_TEST, instance_id
from orchestration.providers.guest.user_keys import keys_digest, write_keys
from orchestration.state.model import GuestState
from orchestration.transport.base import Scope, Transport, command


def renew_keys(task: Task, guest: GuestState, transport: Transport) -> str:
    """Write the users' keys into a guest that has others; return what was done.

    A failure is logged and no more: the periodic task tries again and shows it.
    Raises: Cancelled, StateError.
    """
    lines = task.user_keys
    if lines is None or not lacks_keys(guest, lines):
        return ""
    try:
        give_keys(task.project, guest, transport, lines, scope=task.scope)
    except (CommandFailed, CommandTimedOut, HostUnreachable) as exc:
        task.log(f"The users' SSH keys were not written: {exc}", Stream.STDERR)
        return ""
    task.log(f"accepts {count_of(len(lines), 'SSH key')} of users")
    return "its users' SSH keys were renewed"


def lacks_keys(guest: GuestState, lines: Sequence[str]) -> bool:
    """Return whether a guest with an account of ours has other keys than these."""
    return bool(guest.seed) and guest.markers.user_keys != keys_digest(lines)


def is_ready(guest: GuestState, transport: Transport, *, scope: Scope) -> bool:
    """Return whether a guest's first boot is over: before, it writes keys itself.

    Raises: HostUnreachable, CommandTimedOut, Cancelled.
    """
    test = command("sh", "-c", READY_TEST, "ready", instance_id(guest))
    return transport.run(test, scope=scope, check=False).exit_code == 0


def give_keys(
    project: Project,
    guest: GuestState,
    transport: Transport,
    lines: Sequence[str],
    *,
    scope: Scope,
) -> None:
    """Write the users' keys into a guest, and note which it has.

    Raises: CommandFailed, CommandTimedOut, HostUnreachable, Cancelled, StateError.
    """
    write_keys(transport, lines, scope=scope)
    project.mark(guest.name, user_keys=keys_digest(lines))
