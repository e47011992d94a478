"""The time that a guest has to boot: longer beside other boots, emulated, or active.

Boots share the processors, so the deadline grows with every guest that boots on the
host at the same time, of any testbed. A guest that uses its processor, or whose console
grows, gets more time, up to a cap, so that a slow host fails no healthy guest.
"""

import time
from collections.abc import Callable

from orchestration.errors import TestbedError
from orchestration.instructions.boot import admission
from orchestration.instructions.boot.diagnosis.machine import boot_failure
from orchestration.instructions.task import Task
from orchestration.providers.guest.console import console_tail
from orchestration.providers.libvirt import domains
from orchestration.state.model import DomainType, GuestState
from orchestration.transport.base import command

# The share of the deadline that each guest adds: 5 s and 30 s of 120 s.
PER_PEER = {DomainType.KVM: 1 / 24, DomainType.QEMU: 1 / 4}
# Debian 12 under emulation prints nothing for 8 s while it decompresses (measured).
QUIET_S = 10.0
LOOK_EVERY_S = 2.0
READ_EVERY_S = 10.0
CAP = 3.0
_COMPANY_EVERY_S = 1.0


def deadline_s(task: Task, booting: int = 0) -> float:
    """Return a guest's deadline while `booting` guests or its peers boot as well."""
    company = max(task.peers, booting)
    per_peer = PER_PEER[task.host.state.domain_type]
    return task.boot.deadline_s * (1 + per_peer * company)


class BootDeadline:
    """One guest's deadline, from now on. `limit_s` only grows."""

    def __init__(self, task: Task, guest: GuestState) -> None:
        self._task = task
        self._guest = guest
        self._started = time.monotonic()
        self._counted_s = 0.0
        self._looked_s = 0.0
        self._moved_s = float("-inf")
        self._size = -1
        self._used_ns = 0
        self._read_s = 0.0
        self._last_words = ""
        self.limit_s = deadline_s(task, admission.booting(task))
        self.allowed_s = self.limit_s

    @property
    def waited_s(self) -> float:
        """Seconds since the deadline began."""
        return time.monotonic() - self._started

    def note_sign_of_life(self) -> None:
        """Record that the guest works at this moment."""
        self._moved_s = self.waited_s

    def is_over(self) -> bool:
        """Return whether to give up; `allowed_s` is then the time that was allowed.

        Raises: Cancelled.
        """
        waited_s = self.waited_s
        if self._is_hopeless(waited_s):
            self.allowed_s = waited_s
            return True
        if waited_s - self._counted_s >= _COMPANY_EVERY_S:
            self._counted_s = waited_s
            company = deadline_s(self._task, admission.booting(self._task))
            self.limit_s = max(self.limit_s, company)
        if waited_s > self.limit_s - QUIET_S:
            self._look(waited_s)
        is_moving = waited_s - self._moved_s < QUIET_S
        is_extended = is_moving and waited_s < CAP * self.limit_s
        self.allowed_s = max(self.limit_s, waited_s if is_extended else self.allowed_s)
        return waited_s > self.limit_s and not is_extended

    def _is_hopeless(self, waited_s: float) -> bool:
        """Return whether the console ends with a failed boot and no longer grows."""
        if (
            waited_s - self._read_s < READ_EVERY_S
            or not self._task.host.state.boots_guests
        ):
            return False
        self._read_s = waited_s
        words = self._console_end()
        is_standing_still = words == self._last_words
        self._last_words = words
        return is_standing_still and bool(boot_failure(words))

    def _console_end(self) -> str:
        host, scope = self._task.host.transport, self._task.scope
        return self._said(lambda: console_tail(host, self._guest.console, scope=scope))

    def _look(self, waited_s: float) -> None:
        """Record activity since the last look; the first one only sets a baseline."""
        seconds = waited_s - self._looked_s
        if seconds < LOOK_EVERY_S or not self._task.host.state.boots_guests:
            return
        self._looked_s = waited_s
        size, used_ns = self._console_size(), self._used()
        has_grown = 0 <= self._size < size
        work_ns = self._task.boot.busy_share * seconds * 1e9
        is_busy = 0 < self._used_ns < used_ns - work_ns
        if has_grown or is_busy:
            self._moved_s = waited_s
        self._size, self._used_ns = size, used_ns

    def _used(self) -> int:
        conn, domain = self._task.host.libvirt, self._guest.domain
        return self._number(lambda: str(domains.cpu_times(conn).get(domain, 0)))

    def _console_size(self) -> int:
        look = command("stat", "-c", "%s", self._guest.console).with_root()
        host, scope = self._task.host.transport, self._task.scope
        return self._number(
            lambda: host.run(look, scope=scope, timeout_s=10, check=False).stdout
        )

    def _number(self, ask: Callable[[], str]) -> int:
        said = self._said(ask).strip()
        return int(said) if said.isdecimal() else -1

    def _said(self, ask: Callable[[], str]) -> str:
        """Return the result of a look, nothing when it fails. Raises: Cancelled."""
        try:
            return ask()
        except TestbedError:
            self._task.scope.check_cancelled()
            return ""
