"""Whether a guest accepts its users' SSH keys already, as its page shows it."""

from dataclasses import dataclass

from orchestration.instructions.boot.user_keys import lacks_keys
from orchestration.state.model import GuestState
from testbed.models import KeyProblem, Testbed
from testbed.ssh.keys import keys_for


@dataclass(frozen=True, slots=True)
class KeyStatus:
    """The number of keys that a guest is to accept, whose, and whether it does.

    `problem` says why the last attempt to write them failed.
    """

    count: int
    users: tuple[str, ...]
    is_current: bool
    problem: KeyProblem | None


def key_status(testbed: Testbed, guest: GuestState) -> KeyStatus:
    """Return the status of a guest's keys (two queries, three while it lacks some)."""
    lines = keys_for(testbed)
    names = (line.split(" ", 2)[2].partition(":")[0] for line in lines)
    users = tuple(dict.fromkeys(names))
    if not lacks_keys(guest, lines):
        return KeyStatus(len(lines), users, is_current=True, problem=None)
    problem = testbed.key_problems.filter(guest=guest.name).first()
    return KeyStatus(len(lines), users, is_current=False, problem=problem)
