"""Everything that can die under a run: how it is struck, how it is mended.

`FAULTS` is the registry that `injection` strikes with; `test_faults` and
`script/bench faults` go through it. A fault may end a run only as `outcomes` say.
Processes are found by what was started here and by the rows of the run, and ended by
their pid. Nothing here waits for the run or judges it.
"""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from tests.live.rows import running_batches
from tests.live.stack import Stack

Act = Callable[[Stack], None]
LEASE_S = 15
# Longer than SSH and libvirt take to notice that nobody answers.
SILENT_FOR_S = 40
SUCCEEDED = frozenset({"succeeded"})
SUCCEEDS_OR_FAILS = frozenset({"succeeded", "failed"})
GOES_ON_OR_STOPS = frozenset({"succeeded", "interrupted"})
_FIND_FOR_S = 5


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing that dies, and how it comes back."""

    name: str
    strike: Act
    mend: Act
    outcomes: frozenset[str] = GOES_ON_OR_STOPS


def nothing(stack: Stack) -> None:
    """Mend what mends itself."""


def kill_pool_process(stack: Stack) -> None:
    """Kill the process that works on a batch; its worker makes a new one."""
    os.kill(_working_process(stack), signal.SIGKILL)


def kill_worker(stack: Stack) -> None:
    """Kill the worker with all its processes, as a power cut would."""
    stack.stop("worker", with_signal=signal.SIGKILL)


def start_worker(stack: Stack) -> None:
    """Start it again."""
    stack.start_worker()


def kill_web(stack: Stack) -> None:
    """Kill Daphne."""
    stack.stop("web", with_signal=signal.SIGKILL)


def start_web(stack: Stack) -> None:
    """Start it again."""
    stack.start_web()


def kill_redis(stack: Stack) -> None:
    """Kill Redis; it keeps nothing on disk, so that all messages are gone."""
    stack.stop("redis", with_signal=signal.SIGKILL)


def start_redis(stack: Stack) -> None:
    """Start it again, with an empty memory."""
    stack.start_redis()


def stop_worker(stack: Stack) -> None:
    """Freeze the worker with all its processes, as an overloaded machine would."""
    os.killpg(stack.processes["worker"].pid, signal.SIGSTOP)


def continue_worker(stack: Stack) -> None:
    """Thaw it when its leases have lapsed."""
    time.sleep(LEASE_S + 1)
    os.killpg(stack.processes["worker"].pid, signal.SIGCONT)


def stop_pool_process(stack: Stack) -> None:
    """Freeze the process that works on a batch."""
    os.kill(_working_process(stack), signal.SIGSTOP)


def continue_pool_processes(stack: Stack) -> None:
    """Thaw it when its batch was given up and its lease has lapsed."""
    time.sleep(LEASE_S + 5)
    for pid in _pool(stack):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def restart_libvirtd(stack: Stack) -> None:
    """Restart libvirtd on both hosts; guests and networks go on without it."""
    for host in (stack.main, stack.other):
        host.restart("libvirtd")


def restart_sshd(stack: Stack) -> None:
    """Restart the second host's sshd; its sessions end, what they started does not."""
    stack.other.restart("sshd")


def cut_link(stack: Stack) -> None:
    """Pull the second host's cable."""
    stack.other.cut()


def mend_link(stack: Stack) -> None:
    """Plug it in again when it was noticed everywhere, or after a while."""
    deadline = time.monotonic() + SILENT_FOR_S
    while running_batches(stack) and time.monotonic() < deadline:
        time.sleep(0.2)
    stack.other.mend()


FAULTS = {
    fault.name: fault
    for fault in (
        Fault("pool process killed", kill_pool_process, nothing),
        Fault("worker killed", kill_worker, start_worker),
        Fault("web server killed", kill_web, start_web, SUCCEEDED),
        Fault("Redis restarted empty", kill_redis, start_redis, SUCCEEDED),
        Fault("worker frozen", stop_worker, continue_worker),
        Fault("pool process frozen", stop_pool_process, continue_pool_processes),
        Fault("libvirtd restarted", restart_libvirtd, nothing, SUCCEEDS_OR_FAILS),
        Fault("sshd restarted", restart_sshd, nothing, SUCCEEDS_OR_FAILS),
        Fault("link to host lost", cut_link, mend_link, SUCCEEDS_OR_FAILS),
    )
}


def _working_process(stack: Stack) -> int:
    """Return a pool process that has a batch, or any one when none has for long."""
    pool = _pool(stack)
    deadline = time.monotonic() + _FIND_FOR_S
    while time.monotonic() < deadline:
        working = {int(batch.worker.split()[1]) for batch in running_batches(stack)}
        if found := working & set(pool):
            return min(found)
        time.sleep(0.02)
    return pool[0]


def _pool(stack: Stack) -> list[int]:
    """Return the worker's own children; the beat among them is the last."""
    main = stack.processes["worker"].pid
    children = Path(f"/proc/{main}/task/{main}/children").read_text()
    return [int(pid) for pid in children.split()]
