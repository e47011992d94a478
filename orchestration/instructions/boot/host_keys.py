"""Pins the SSH host key that a guest reports through a port of its own.

Only the guest's root can write the report, and only root on its host can read it, so
that a key from the network is never trusted. Used by `reaching`.
"""

from orchestration.instructions.task import Task
from orchestration.project.host_keys import pin_key, pinned_key
from orchestration.providers.guest.host_key import read_report
from orchestration.state.model import GuestState


def known_key(task: Task, guest: GuestState) -> str:
    """Return a guest's pinned key, else the reported one, which is then pinned.

    Simulated guests have none. Raises: HostUnreachable.
    """
    if not task.host.state.boots_guests:
        return ""
    if key := pinned_key(task.project, guest.name):
        return key
    learn_key(task, guest)
    return pinned_key(task.project, guest.name)


def learn_key(task: Task, guest: GuestState) -> bool:
    """Pin the key that a guest reported; False when it is pinned or none is there.

    Raises: HostUnreachable, Cancelled.
    """
    key = read_report(task.host.transport, guest.key_report, scope=task.scope)
    if not key or pinned_key(task.project, guest.name).startswith(f"{key} "):
        return False
    pin_key(task.project, guest.name, key)
    return True
