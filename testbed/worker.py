"""The engine and connections of one worker process, and its cancel signal.

They are made on first use, in the process that uses them: pool processes are forks, and
a connection that crosses a fork is broken in both.
"""

import logging
import os
import queue
import signal
import threading
from collections.abc import Callable
from enum import Enum, auto
from functools import lru_cache
from pathlib import Path
from types import FrameType, TracebackType
from uuid import uuid4

from celery import current_app
from celery.exceptions import SoftTimeLimitExceeded
from django.conf import settings

from orchestration.engine import Engine
from orchestration.errors import TestbedError
from orchestration.hosts import Hosts
from orchestration.instructions.boot.limits import BootLimits
from orchestration.project.folder import Project
from orchestration.project.host_keys import pinned_key
from orchestration.providers.libvirt import domains
from orchestration.providers.libvirt.ownership import GuestDomain, domain_of
from orchestration.state.model import State
from orchestration.state.names import Names
from orchestration.transport.base import Transport

logger = logging.getLogger(__name__)
# The number of hosts that one process asks at the same time.
ASKED_AT_ONCE = 16


class Word(Enum):
    """The messages to a batch's main thread."""

    CANCEL = auto()
    DONE = auto()


# SimpleQueue.put may be called from a signal handler, even inside another put.
Inbox = queue.SimpleQueue[Word]
_inboxes: list[Inbox] = []


def kept_hosts() -> Hosts:
    """Return this process's hosts, with their open connections."""
    return _hosts(os.getpid())


class ErrorsTold:
    """Tells an error in words, so that the others, hosts mostly, are still done.

    `what` begins the sentence about one that was not foreseen; the log has it whole.
    """

    def __init__(self, what: str, tell: Callable[[str], None]) -> None:
        self._what = what
        self._tell = tell

    def __enter__(self) -> None:
        """Begin."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        problem: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Tell an error, and let the next line run; an exit of the process goes on."""
        if not isinstance(problem, Exception):
            return False
        if isinstance(problem, TestbedError):
            self._tell(problem.sentence)
            return True
        reference = uuid4().hex[:8]
        logger.error("%s failed, reference %s", self._what, reference, exc_info=problem)
        self._tell(
            f"{self._what} ended with an unexpected error. Give the reference "
            f"{reference} to your administrator."
        )
        return True


def engine() -> Engine:
    """Return this process's engine."""
    return _engine(os.getpid())


def machine(state: State, host: str, name: str) -> Transport:
    """Return the transport of a host, or of the guest `name` on it.

    Raises: KeyError, StopIteration (not in the state), TestbedError.
    """
    if name == host:
        return kept_hosts().open(state.host(host)).transport
    guest = next(g for g in state.machines if name in (g.name, g.domain))
    key = pinned_key(Project(Path(state.directory)), guest.name)
    return kept_hosts().guest(state, guest, host_key=key)


def is_off(state: State, host: str, name: str) -> bool:
    """Return whether the guest `name` is surely off, so that no process runs in it."""
    if name == host:
        return False
    try:
        conn = kept_hosts().open(state.host(host)).libvirt
        found = domains.find(conn, _domain(state, name))
    except (TestbedError, KeyError):
        return False
    return found is None or not found.is_active


def _domain(state: State, name: str) -> GuestDomain:
    """Return a guest's domain; the state may have forgotten the guest."""
    for guest in state.machines:
        if name in (guest.name, guest.domain):
            return domain_of(state.testbed, guest)
    names = Names(state.testbed, state.number)
    return GuestDomain(state.testbed, name, names.domain(name), names.uuid(name))


def catch_cancel(inbox: Inbox) -> None:
    """Let SIGUSR1 put a word into `inbox` from now on, until `ignore_cancel`.

    Celery's own handler raises SoftTimeLimitExceeded wherever the main thread
    happens to be, also between two tasks, where it ends the process. This handler
    stays, and raises only inside a task that has a soft time limit.
    """
    _inboxes[:] = [inbox]
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGUSR1, _on_signal)


def ignore_cancel() -> None:
    """Ignore a signal that comes too late."""
    _inboxes.clear()


def _on_signal(number: int, frame: FrameType | None) -> None:
    for inbox in _inboxes:
        inbox.put(Word.CANCEL)
    if not _inboxes and _has_soft_limit():
        raise SoftTimeLimitExceeded


def _has_soft_limit() -> bool:
    task = current_app.current_task
    if task is None:
        return False
    _, soft_limit = task.request.timelimit or (None, None)
    return bool(soft_limit or task.soft_time_limit)


@lru_cache(maxsize=1)
def _hosts(pid: int) -> Hosts:
    return Hosts(settings.RUNTIME_DIR)


@lru_cache(maxsize=1)
def _engine(pid: int) -> Engine:
    return Engine(
        _hosts(pid),
        tasks_per_host=settings.TASKS_PER_HOST,
        boot=BootLimits(deadline_s=settings.BOOT_DEADLINE_S),
        log_bytes=settings.TASK_LOG_MIB * 1024 * 1024,
        quota=settings.FETCHED_QUOTA,
    )
