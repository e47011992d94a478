"""How long a guest may take to come up: longer in company, emulated, or in progress.

Boots share the processors, so the deadline grows with every guest that boots on the
host at the same time, whoever's it is. And a guest whose console still grows is on its
way: it gets more time, up to a cap, so that a slow host fails no healthy guest.
"""

import time

from orchestration.errors import CommandFailed
from orchestration.instructions import turns
from orchestration.instructions.base import Task
from orchestration.instructions.prepare import is_simulated
from orchestration.state.model import DomainType, GuestState
from orchestration.transport.base import command

# The share of the deadline that each guest adds: 5 s and 30 s of 120 s.
PER_PEER = {DomainType.KVM: 1 / 24, DomainType.QEMU: 1 / 4}
# Debian 12 under emulation says nothing for 8 s while it decompresses (measured).
QUIET_S = 10.0
LOOK_EVERY_S = 2.0
CAP = 3.0
_COMPANY_EVERY_S = 1.0


def deadline_s(task: Task, booting: int = 0) -> float:
    """Return how long a guest may take while `booting` or its peers boot as well."""
    company = max(task.peers, booting)
    per_peer = PER_PEER[task.host.state.domain_type]
    return task.boot_deadline_s * (1 + per_peer * company)


class Patience:
    """One guest's deadline, from now on. `limit_s` only grows."""

    def __init__(self, task: Task, guest: GuestState) -> None:
        self._task = task
        self._guest = guest
        self._started = time.monotonic()
        self._counted_s = 0.0
        self._looked_s = 0.0
        self._grown_s = float("-inf")
        self._size = -1
        self.limit_s = deadline_s(task, turns.booting(task))
        self.allowed_s = self.limit_s

    @property
    def waited_s(self) -> float:
        """Seconds since it began."""
        return time.monotonic() - self._started

    def is_over(self) -> bool:
        """Say whether to give up; `allowed_s` is then what the guest was given.

        Raises: HostUnreachable, Cancelled (from the look at its console).
        """
        waited_s = self.waited_s
        if waited_s - self._counted_s >= _COMPANY_EVERY_S:
            self._counted_s = waited_s
            company = deadline_s(self._task, turns.booting(self._task))
            self.limit_s = max(self.limit_s, company)
        if waited_s > self.limit_s - QUIET_S:
            self._look_at_console(waited_s)
        is_growing = waited_s - self._grown_s < QUIET_S
        is_extended = is_growing and waited_s < CAP * self.limit_s
        self.allowed_s = max(self.limit_s, waited_s if is_extended else self.allowed_s)
        return waited_s > self.limit_s and not is_extended

    def _look_at_console(self, waited_s: float) -> None:
        if waited_s - self._looked_s < LOOK_EVERY_S or is_simulated(self._task):
            return
        self._looked_s = waited_s
        size = self._console_size()
        if self._size >= 0 and size > self._size:
            self._grown_s = waited_s
        self._size = size

    def _console_size(self) -> int:
        look = command("stat", "-c", "%s", self._guest.console).with_root()
        transport, scope = self._task.host.transport, self._task.scope
        try:
            said = transport.run(look, scope=scope, timeout_s=10, check=False)
        except CommandFailed:
            return -1
        return int(said.stdout) if said.stdout.strip().isdecimal() else -1
