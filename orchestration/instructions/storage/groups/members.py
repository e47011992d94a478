"""The guests of a group snapshot: looked at first, then acted on at once.

Each act is one task, on main, that reaches the guests of all hosts: what each of many
tasks did would have to be joined by messages while guests stand still.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from copy import copy
from dataclasses import dataclass
from functools import partial
from pathlib import PurePosixPath
from typing import TypeVar

from orchestration.amounts import count_of
from orchestration.errors import Cancelled, SnapshotFailed, TestbedError
from orchestration.instructions.storage.snapshots import (
    TABLES_BYTES,
    disk_of,
    situation_of,
)
from orchestration.instructions.task import Task
from orchestration.providers.images.qemu_img import ImageInfo
from orchestration.providers.images.space import free_bytes, require_space
from orchestration.providers.libvirt.facts.domains import DomainStatus
from orchestration.providers.libvirt.ownership import GuestDomain
from orchestration.providers.libvirt.snapshots.guard import Guard, Guarded
from orchestration.providers.libvirt.snapshots.text import Snapshot
from orchestration.providers.libvirt.snapshots.verbs import Situation
from orchestration.state.model import GuestState
from orchestration.transport.base import Transport

T = TypeVar("T")
AT_ONCE = 64
RUNS = (DomainStatus.RUNNING, DomainStatus.BLOCKED)
_NAMED = 5


@dataclass(slots=True)
class Member:
    """A guest of the testbed, and what one act has done with it.

    `task` is the act's, on the guest's host. The times are of `time.monotonic`: before
    the guest was told to stop, when it had stopped, when it ran again. `snapshot` is the
    one to which a restore returns it.
    """

    guest: GuestState
    task: Task
    found: Situation
    disk: ImageInfo | None
    snapshot: Snapshot | None = None
    asked_at: float = 0.0
    stopped_at: float = 0.0
    went_on_at: float = 0.0
    held_systems: int = 0
    is_restored: bool = False

    @property
    def name(self) -> str:
        """The guest's name."""
        return self.guest.name

    @property
    def runs(self) -> bool:
        """Return whether it ran at the look."""
        return self.found.status in RUNS

    @property
    def domain(self) -> GuestDomain:
        """Its domain."""
        return self.task.domain(self.guest)


def look_at_all(task: Task) -> list[Member]:
    """Look at all guests. Raises: SnapshotFailed, with every guest that has none."""
    found: dict[str, Member] = {}

    def look(guest: GuestState) -> None:
        own = copy(task)  # with the same log
        own.host = task.hosts.open(task.state.host(guest.host))
        situation = situation_of(own, guest)
        found[guest.name] = Member(guest, own, situation, disk_of(own, guest))

    on_all(task.state.guests, look)
    return [found[guest.name] for guest in task.state.guests]


def on_all(things: Sequence[T], work: Callable[[T], None]) -> None:
    """Do the same for all at once; each ends, also when others fail.

    Raises: Cancelled, SnapshotFailed (the first failure, with all in its detail).
    """
    if not things:
        return
    with ThreadPoolExecutor(min(len(things), AT_ONCE), "group") as pool:
        problems = list(filter(None, pool.map(partial(_problem, work), things)))
    if any(isinstance(problem, Cancelled) for problem in problems):
        raise Cancelled
    if not problems:
        return
    more = f" {count_of(len(problems), 'guest')} failed." if len(problems) > 1 else ""
    raise SnapshotFailed(
        problems[0].message + more,
        hint=problems[0].hint,
        detail="\n".join(problem.sentence for problem in problems),
    ) from problems[0]


def _problem(work: Callable[[T], None], thing: T) -> TestbedError | None:
    try:
        work(thing)
    except TestbedError as exc:
        return exc
    return None


def require_room(task: Task, members: Iterable[Member], name: str) -> None:
    """Refuse a group whose memory may not fit on a host. Raises: NotEnoughSpace."""
    needed: dict[str, int] = {}
    first: dict[str, Member] = {}
    for one in members:
        if one.disk is None:
            continue
        is_off = one.found.status is DomainStatus.SHUT_OFF
        more = TABLES_BYTES if is_off else one.guest.memory_mib << 20
        needed[one.guest.host] = needed.get(one.guest.host, 0) + more
        first.setdefault(one.guest.host, one)
    for host, needed_bytes in needed.items():
        folder = str(PurePosixPath(first[host].guest.disk).parent)
        free = free_bytes(first[host].task.host.transport, folder, scope=task.scope)
        require_space(
            f"snapshot {name}",
            f"of all guests on {host}",
            needed_bytes=needed_bytes,
            free_bytes=free,
        )


class Guards:
    """One guard on each host with guests that are to be paused."""

    def __init__(self, members: Iterable[Member]) -> None:
        domains: dict[str, list[Guarded]] = {}
        hosts: dict[str, Transport] = {}
        for one in members:
            host = one.task.host
            if host.state.boots_guests:
                hosts[host.state.name] = host.transport
                domain = one.domain
                guarded = Guarded(domain.uuid or domain.name, one.found.has_agent)
                domains.setdefault(host.state.name, []).append(guarded)
        self._guards = {name: Guard(hosts[name], domains[name]) for name in domains}

    def start(self) -> None:
        """Start all. Raises: SnapshotFailed."""
        on_all(list(self._guards.values()), Guard.start)

    def stop(self) -> list[str]:
        """Send all home; return the hosts whose guard had acted, or is lost."""
        with ThreadPoolExecutor(max(1, len(self._guards))) as pool:
            was_quiet = pool.map(Guard.stop, self._guards.values())
            pairs = list(zip(self._guards, was_quiet, strict=True))
        return [name for name, quiet in pairs if not quiet]

    def let_act(self) -> None:
        """Let all resume their guests now, and end."""
        for guard in self._guards.values():
            guard.let_act()


def now() -> float:
    """Return the time for the differences that are shown."""
    return time.monotonic()


def names(members: Iterable[Member]) -> str:
    """Return the first names of some guests."""
    found = [one.name for one in members]
    more = f" and {len(found) - _NAMED} more" if len(found) > _NAMED else ""
    return ", ".join(found[:_NAMED]) + more
