"""Admits guests to boot: one ledger per host, shared by all worker processes.

`start_guests` waits here; `reaching` and `stop` report the end of a boot. The ledger is
a file under a lock, beside the ssh wrappers: the bound holds for all testbeds and all
workers of this machine, and no lock outlives its process. A guest that a killed worker
admitted is dropped when it idles, is gone, or is too old, so no wait is endless.
"""

import time
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from pydantic import BaseModel

from orchestration import ledgers
from orchestration.errors import Cancelled, TestbedError
from orchestration.instructions.boot import pacing, taps
from orchestration.instructions.boot.pacing import Booting, Ledger
from orchestration.instructions.task import Task
from orchestration.providers.libvirt import domains
from orchestration.providers.linux import pressure
from orchestration.providers.linux.pressure import Pressure, Sample
from orchestration.state.model import GuestState

# A look at a busy host takes seconds; after this another process looks.
LOOK_LASTS_S = 30.0
REMIND_EVERY_S = 30


class Book(BaseModel):
    """The content of a host's file: the ledger, the last look and its time.

    The process that looks notes until when the others leave it to do so: overlapping
    looks would arrive in the wrong order, with no work done between them.
    """

    ledger: Ledger = Ledger()
    sample: Sample | None = None
    felt: Pressure = Pressure()
    looked_at: float = 0.0
    looking_until: float = 0.0


def wait_for_turn(task: Task, guest: GuestState) -> None:
    """Return when the guest may start; it then counts as booting.

    Logs the reason for the wait and shows it as progress.
    Raises: HostUnreachable, Cancelled.
    """
    if not task.host.state.boots_guests:
        return
    started, remind_s = time.monotonic(), 0
    while reason := _ask(task, guest):
        waited_s = int(time.monotonic() - started)
        if waited_s >= remind_s:
            task.log(f"{reason}; waiting")
            remind_s = waited_s + REMIND_EVERY_S
        task.progress(waited_s, 0, unit="s", note=reason)
        task.scope.sleep(task.boot.ask_every_s)


def start_in_turn(task: Task, guest: GuestState) -> None:
    """Start a defined guest when it is admitted; a failed start frees its place.

    Raises: as `wait_for_turn`, LibvirtFailed, NetworkFailed.
    """
    wait_for_turn(task, guest)
    try:
        domains.start(task.host.libvirt, task.domain(guest))
        taps.silence_host_on_taps(task, guest)
    except TestbedError:
        boot_ended(task, guest)
        raise


@contextmanager
def until_booted(task: Task, guest: GuestState) -> Iterator[None]:
    """Free the guest's place when the block ends.

    A cancelled block keeps it: the guest may still boot, and the ledger notices when it
    idles.
    """
    try:
        yield
    except Cancelled:
        raise
    except TestbedError:
        boot_ended(task, guest)
        raise
    boot_ended(task, guest)


def boot_ended(task: Task, guest: GuestState) -> None:
    """Free the guest's place; harmless when it has none."""
    if _is_kept(task):
        with _opened(task) as book:
            book.ledger = book.ledger.without(guest.domain)


def booting(task: Task) -> int:
    """Return how many guests of all testbeds boot on the task's host."""
    if not _is_kept(task):
        return 0
    with _opened(task) as book:
        return len(pacing.expire(book.ledger, time.time()).booting)


def _ask(task: Task, guest: GuestState) -> str:
    """Admit the guest or return the reason to wait; one process looks each second."""
    with _opened(task) as book:
        now = time.time()  # read under the lock: the book may be newer than the wait
        book.ledger = pacing.expire(book.ledger, now)
        cpus = book.felt.cpus if book.sample else task.host.state.cpus or 1
        if pacing.is_free(book.ledger, task.state.testbed, cpus):
            book.ledger = book.ledger.with_(_entry(task, guest, now))
            return ""
        is_mine = _is_stale(book, now, task.boot.look_every_s)
        if is_mine:
            book.looking_until = now + LOOK_LASTS_S
    if is_mine:
        _look(task)
    with _opened(task) as book:
        now = time.time()  # a look takes seconds; a claim or a start counts from now
        why = pacing.refusal(
            book.ledger, task.state.testbed, guest.memory_mib, book.felt
        )
        if why:
            waiting = book.ledger.waiting | {task.state.testbed: now}
            book.ledger = book.ledger.model_copy(update={"waiting": waiting})
            count = len(book.ledger.booting)
            guests = "1 guest is" if count == 1 else f"{count} guests are"
            return f"{task.host.state.name} is busy: {why}, {guests} booting"
        book.ledger = book.ledger.with_(_entry(task, guest, now))
    return ""


def _is_stale(book: Book, now: float, look_every_s: float) -> bool:
    """Return whether a new look is due; also after a clock was set back."""
    is_being_looked = 0 <= book.looking_until - now <= LOOK_LASTS_S
    return not is_being_looked and not 0 <= now - book.looked_at < look_every_s


def _look(task: Task) -> None:
    """Ask the host, without holding the lock, and note the answer."""
    try:
        sample = pressure.observe(task.host.transport, scope=task.scope)
        cpu_times = domains.cpu_times(task.host.libvirt)
        at = time.time()
        with _opened(task) as book:
            is_outdone = at <= book.looked_at <= time.time()  # a clock may be set back
            if not is_outdone:
                _note(book, sample, cpu_times, at, young_s=task.boot.young_s)
    finally:
        with _opened(task) as book:
            book.looking_until = 0.0


def _note(
    book: Book,
    sample: Sample,
    cpu_times: Mapping[str, int],
    at: float,
    *,
    young_s: float,
) -> None:
    """Update the ledger from a look: settled guests, and the width of the window."""
    seconds, book.looked_at = at - book.looked_at, at
    ledger = pacing.settle(
        book.ledger, cpu_times, now=at, seconds=seconds, young_s=young_s
    )
    book.felt = pressure.between(book.sample, sample)
    book.sample = sample
    window = ledger.window or pacing.first_window(sample.cpus)
    window = pacing.adapt(window, book.felt)
    book.ledger = ledger.model_copy(update={"window": window})


def _entry(task: Task, guest: GuestState, now: float) -> Booting:
    return Booting(
        domain=guest.domain,
        testbed=task.state.testbed,
        started_at=now,
        memory_mib=guest.memory_mib,
    )


def _path(task: Task) -> Path:
    return task.hosts.runtime_dir / "booting" / f"{task.host.state.name}.json"


def _is_kept(task: Task) -> bool:
    return task.host.state.boots_guests and _path(task).exists()


def _opened(task: Task) -> AbstractContextManager[Book]:
    return ledgers.opened(_path(task), Book)
