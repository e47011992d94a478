"""Waits for a domain's events: libvirt reports when it stops, pauses or reboots.

`domains.shut_down` waits here between its checks, and so does the wait for a guest
(`boot/reaching.py`). Where no events arrive (a simulated host, the child of a process
with the loop) a wait ends after POLL_S, for the caller to check again; where they do,
after RECHECK_S at the latest.
"""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

import libvirt

from orchestration.errors import TestbedError
from orchestration.providers.libvirt import events
from orchestration.providers.libvirt.connection import Connection, is_test_driver
from orchestration.providers.libvirt.ownership import GuestDomain, require

LIFECYCLE = libvirt.VIR_DOMAIN_EVENT_ID_LIFECYCLE
REBOOT = libvirt.VIR_DOMAIN_EVENT_ID_REBOOT
POLL_S = 0.25
RECHECK_S = 2.0
# Checking a flag of our own costs nothing.
TICK_S = 0.05


class Watch:
    """Events of one domain; `has_come` stays true after the first."""

    def __init__(self) -> None:
        self.hears = False
        self.has_come = False
        self._news = threading.Event()
        self._looked_at = float("-inf")

    def tell(self, *_: object) -> None:
        """Record an event, on the loop's thread: nothing may call libvirt here."""
        self.has_come = True
        self._news.set()

    def is_due(self) -> bool:
        """Return whether a check is due: an event came, or the last check is old."""
        now = time.monotonic()
        is_late = now - self._looked_at >= RECHECK_S
        if self.hears and not is_late and not self._news.is_set():
            return False
        self._news.clear()
        self._looked_at = now
        return True

    def wait(self, sleep: Callable[[float], None]) -> float:
        """Wait for news through `sleep`, which may raise Cancelled; return seconds."""
        if not self.hears:
            sleep(POLL_S)
            return POLL_S
        waited_s = 0.0
        while waited_s < RECHECK_S and not self._news.is_set():
            sleep(TICK_S)
            waited_s += TICK_S
        self._news.clear()
        return waited_s


@contextmanager
def watch(
    conn: Connection, guest: GuestDomain, kind: int = LIFECYCLE
) -> Iterator[Watch]:
    """Listen to a domain while the block runs; on failure no events arrive."""
    found = Watch()
    listening: tuple[libvirt.virConnect, int] | None = None
    with suppress(TestbedError):
        listening = conn.call(
            f"listen to domain {guest.name}",
            lambda handle: _listen(handle, guest, conn.machine, found, kind),
        )
    found.hears = listening is not None
    try:
        yield found
    finally:
        if listening is not None:
            handle, number = listening
            # A connection that died meanwhile took the listener along.
            with suppress(libvirt.libvirtError):
                handle.domainEventDeregisterAny(number)


def _listen(
    handle: libvirt.virConnect,
    guest: GuestDomain,
    machine: str,
    found: Watch,
    kind: int,
) -> tuple[libvirt.virConnect, int] | None:
    if is_test_driver(handle) or not events.is_running():
        return None
    domain = require(handle, guest, machine)
    return handle, handle.domainEventRegisterAny(domain, kind, found.tell, None)
