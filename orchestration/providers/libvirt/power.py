"""Verbs of a running domain: pause, resume, reset, reboot.

`domains` starts and stops domains. Each verb looks up the guest's own domain
(`ownership.py`) in the call that acts, and libvirt refuses it where the domain is in
another state by then.
"""

import logging
from collections.abc import Callable
from enum import Enum, auto

import libvirt

from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.domains import PRESS_AGAIN_S
from orchestration.providers.libvirt.lifecycle import REBOOT, watch
from orchestration.providers.libvirt.ownership import GuestDomain, call_on

logger = logging.getLogger(__name__)


class Rebooted(Enum):
    """How a request to reboot ended; UNSEEN: no events arrive from this host."""

    SEEN = auto()
    UNSEEN = auto()
    WENT_OFF = auto()
    IGNORED = auto()


def pause(conn: Connection, guest: GuestDomain) -> None:
    """Stop a domain's processors; its memory stays. Raises: LibvirtFailed."""
    what = f"pause domain {guest.name}"
    call_on(conn, guest, what, lambda domain: domain.suspend(), changes=True)


def resume(conn: Connection, guest: GuestDomain) -> None:
    """Let a paused domain's processors run. Raises: LibvirtFailed."""
    what = f"resume domain {guest.name}"
    call_on(conn, guest, what, lambda domain: domain.resume(), changes=True)


def reset(conn: Connection, guest: GuestDomain) -> None:
    """Press a domain's reset button: its system ends at once. Raises: LibvirtFailed."""
    what = f"reset domain {guest.name}"
    call_on(conn, guest, what, lambda domain: domain.reset(), changes=True)


def reboot(
    conn: Connection,
    guest: GuestDomain,
    *,
    sleep: Callable[[float], None],
    timeout_s: float,
) -> Rebooted:
    """Ask a domain's system to restart, and wait until libvirt reports that it did.

    A booting guest ignores the request, so it is repeated. Every wait goes through
    `sleep`, which may raise Cancelled. Raises: LibvirtFailed, HostUnreachable.
    """
    waited_s, next_request_s = 0.0, 0.0
    with watch(conn, guest, REBOOT) as news:
        while waited_s < timeout_s and not news.has_come:
            is_due = waited_s >= next_request_s
            if is_due:
                next_request_s += PRESS_AGAIN_S
            if not _request_or_look(conn, guest, request=is_due):
                return Rebooted.WENT_OFF
            if not news.hears:
                return Rebooted.UNSEEN
            waited_s += news.wait(sleep)
        return Rebooted.SEEN if news.has_come else Rebooted.IGNORED


def _request_or_look(conn: Connection, guest: GuestDomain, *, request: bool) -> bool:
    """Return whether the domain runs; request a reboot first if `request`."""

    def work(domain: libvirt.virDomain) -> bool:
        if request and domain.isActive():
            try:
                domain.reboot()
            except libvirt.libvirtError as error:
                # Whether it reboots counts; a later request may be accepted.
                logger.info("the reboot of %s: %s", guest.name, error)
        return bool(domain.isActive())

    return call_on(conn, guest, f"reboot domain {guest.name}", work, changes=request)
