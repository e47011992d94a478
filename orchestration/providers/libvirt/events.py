"""The event loop of libvirt, one thread per process: without it no events arrive.

`connection` starts it before it opens a connection, `lifecycle` listens. It does not
survive a fork: the child of a process that has one gets no events and must poll.
"""

import logging
import os
import threading
import time

import libvirt

logger = logging.getLogger(__name__)
PAUSE_S = 1.0


class _Loop:
    """State of the loop: whether this process has it, and whether it may have it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_usable = True
        self.is_running = False

    def start(self) -> None:
        """Start the loop, once."""
        with self._lock:
            if self.is_running or not self._is_usable:
                return
            libvirt.virEventRegisterDefaultImpl()
            threading.Thread(target=_turn, name="libvirt-events", daemon=True).start()
            self.is_running = True

    def lose(self) -> None:
        """Record, after a fork, that the thread stayed with the parent.

        The loop's descriptors are the parent's, too: a second thread on them would take
        its events.
        """
        self._lock = threading.Lock()
        self._is_usable = self._is_usable and not self.is_running
        self.is_running = False


def start() -> None:
    """Start this process's loop; connections opened afterwards bring events."""
    _loop.start()


def is_running() -> bool:
    """Return whether events arrive in this process."""
    return _loop.is_running


def _turn() -> None:
    while True:
        try:
            libvirt.virEventRunDefaultImpl()
        except libvirt.libvirtError as error:
            logger.warning("libvirt's event loop: %s", error)
            time.sleep(PAUSE_S)


_loop = _Loop()
os.register_at_fork(after_in_child=_loop.lose)
