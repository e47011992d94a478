"""Compares testbeds' disks and seeds with the space on their hosts.

Called for each plan before its state is written. Disks count with their full size from
the moment an Up is planned until they are deleted, seeds with the context that each
contains; everything is computed from the testbeds' states. Snapshots count beside their
disk with the memory that they store, and where the disk takes more than both, it counts
as it is, as last seen. Saved images count to their owner. The space of a host is what its images' look saw last. Plans are compared one at a time, so that two of them never
take the same space.
"""

import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from pathlib import Path

from django.conf import settings
from django.contrib.auth.models import User
from django.db.models import QuerySet
from django.utils import timezone

from orchestration.amounts import size
from orchestration.compose.files import FolderFiles, open_real
from orchestration.compose.language.schema import DriverType
from orchestration.compose.rules.files import CONTEXT_LIMIT_BYTES
from orchestration.errors import (
    NotEnoughSpace,
    PathOutside,
    SelectionFailed,
    StateError,
)
from orchestration.inventory.things import DISK_FILE
from orchestration.plan.model import Command
from orchestration.plan.snapshots import SnapshotVerb
from orchestration.project.folder import Project, Stamp
from orchestration.project.snapshots import kept_sizes
from orchestration.providers.images.qcow2 import HEADER_BYTES, parse_header
from orchestration.providers.libvirt.facts.domains import DomainStatus
from orchestration.state.disk_sizes import disk_bytes
from orchestration.state.model import GuestState, State
from orchestration.state.model.images import ImageState
from orchestration.state.selection import select_guests
from testbed.access.limits import (
    MIB,
    Account,
    account_of,
    charged_to,
    require_disks,
    require_images,
    require_membership,
)
from testbed.models import ImageStore, LabSnapshot, PlannedStart, Run, Testbed
from testbed.models.hosts import wait_for_other_plans
from testbed.models.snapshots.lab import StoredBytes
from testbed.models.testbeds import directory_of
from testbed.testbeds.capacity import COMING_UP, DEPLOYED

# Bytes by host.
Bytes = Mapping[str, int]
HasDisk = Callable[[GuestState], bool]
# A host and a path on it, or a guest.
Place = tuple[str, str]
File = tuple[Place, int]


@dataclass(frozen=True, slots=True)
class _Files:
    """The full sizes of a testbed's files: by host, and of disks by host and guest."""

    sums: Bytes
    disks: Mapping[Place, int]


def require_disk_space(testbed: Testbed, state: State, command: Command) -> None:
    """Let a command create the disks and seeds of a state.

    A command that adds nothing on a host is never refused. In a transaction other plans
    wait until its end. Raises: NotEnoughSpace, LimitReached.
    """
    is_up = command is Command.UP
    files = _summed(dict(_files(testbed.project, state, lambda _: is_up)))
    snapshots = LabSnapshot.objects.stored_in([testbed]).get(testbed.pk, {})
    wanted = _by_host(files, snapshots, kept_sizes(testbed.project))
    before = held_by(testbed)
    more = [host for host, count in wanted.items() if count > before.get(host, 0)]
    if not more:
        return
    wait_for_other_plans()
    others = held_by_each(Testbed.objects.exclude(pk=testbed.pk))
    if sum(wanted.values()) > sum(before.values()):
        account = account_of(testbed)
        require_membership(testbed)
        own = set(charged_to(account).values_list("pk", flat=True))
        elsewhere = sum(sum(held.values()) for pk, held in others.items() if pk in own)
        elsewhere += saved_bytes(account)
        total = sum(wanted.values())
        require_disks(account, in_testbed=total, elsewhere=elsewhere)
    promised: Counter[str] = Counter()
    for held in others.values():
        promised.update(held)
    _require_space(testbed, {host: wanted[host] for host in more}, promised)


def held_by(testbed: Testbed) -> Bytes:
    """Return the bytes that a testbed's disks and seeds may take, by host."""
    snapshots = LabSnapshot.objects.stored_in([testbed]).get(testbed.pk, {})
    is_whole = testbed.condition in Testbed.DEPLOYED
    return _held(testbed.project, snapshots, is_whole=is_whole)


def held_by_each(testbeds: QuerySet[Testbed]) -> dict[int, Bytes]:
    """Return the same of some testbeds, by their keys; a planned Up counts."""
    whole = set(testbeds.filter(DEPLOYED | COMING_UP).values_list("pk", flat=True))
    queued = PlannedStart.objects.queued()
    snapshots = LabSnapshot.objects.stored_in(testbeds)
    return {
        pk: _held(
            Project(directory_of(key)),
            snapshots.get(pk, {}),
            is_whole=pk in whole,
            queued=queued.get(pk),
        )
        for pk, key in testbeds.order_by().values_list("pk", "slug")
    }


def require_memory_space(testbed: Testbed, guests: Collection[str]) -> None:
    """Let a snapshot of each of these guests store its memory.

    The disk of then needs no space of its own at first: it is what the guest has not
    written over. Raises: LimitReached.
    """
    state = testbed.project.read_state()
    seen = testbed.observed_guests.filter(status=DomainStatus.SHUT_OFF.value)
    off = set(seen.values_list("name", flat=True))
    memory = sum(
        guest.memory_mib * MIB
        for guest in state.guests
        if guest.name in guests
        and guest.name not in off
        and state.host(guest.host).keeps_images
    )
    if not memory:
        return
    wait_for_other_plans()
    account = account_of(testbed)
    require_membership(testbed)
    here = sum(held_by(testbed).values()) + _unseen_memory(testbed) + memory
    others = charged_to(account).exclude(pk=testbed.pk)
    elsewhere = charged_disks(account, but=testbed) + sum(map(_unseen_memory, others))
    require_disks(account, in_testbed=here, elsewhere=elsewhere)


def _unseen_memory(testbed: Testbed) -> int:
    """Return the memory that snapshots may have stored since the last look at a testbed.

    Without it, many could be taken before the next look counts the first.
    """
    runs = testbed.runs.filter(command=Command.SNAPSHOT, ended_at__isnull=False)
    if testbed.observed_at:
        runs = runs.filter(ended_at__gte=testbed.observed_at)
    stored = [run for run in runs.only("options", "ended_at") if _stores(run)]
    if not stored:
        return 0
    state = testbed.project.read_state()
    reads = dict(testbed.observed_snapshots.values_list("name", "read_at"))
    return sum(
        guest.memory_mib * MIB
        for run in stored
        for guest in _chosen(state, run.options["selection"])
        if run.ended_at and reads.get(guest.name, run.ended_at) <= run.ended_at
    )


def _stores(run: Run) -> bool:
    """Return whether a run on snapshots took some."""
    return run.options["verb"] == SnapshotVerb.CREATE or bool(run.options["before"])


def _chosen(state: State, selection: str) -> Iterator[GuestState]:
    """Yield the guests of a selection that store memory; none where one is gone."""
    with suppress(SelectionFailed):
        for name in select_guests(state, selection):
            guest = state.guest(name)
            if state.host(guest.host).keeps_images:
                yield guest


def charged_disks(account: Account, *, but: Testbed) -> int:
    """Return the bytes of an account's images, and of its other testbeds' disks."""
    held = held_by_each(charged_to(account).exclude(pk=but.pk))
    return sum(sum(one.values()) for one in held.values()) + saved_bytes(account)


def saved_bytes(account: Account) -> int:
    """Return the bytes of the images that a user saved of guests; groups have none."""
    return account.saved_images.size_bytes() if isinstance(account, User) else 0


def full_sizes(testbed: Testbed) -> dict[str, int]:
    """Return the full size of each guest's disk by the guest's name."""
    return disk_bytes(testbed.project.read_state(), cache(virtual_bytes))


def require_image_space(user: User, wanted_bytes: int) -> None:
    """Let a user save images of so many bytes. Raises: LimitReached."""
    wait_for_other_plans()
    held = held_by_each(charged_to(user))
    disks = sum(sum(one.values()) for one in held.values())
    require_images(user, disks + saved_bytes(user) + wanted_bytes)


def virtual_bytes(image: ImageState) -> int:
    """Return the size of a disk made from an image, as far as main knows it.

    An image that was not fetched or unpacked yet counts with the size of its file.
    """
    for path in filter(None, (image.main_path, image.source)):
        try:
            with open_real(Path(os.path.realpath(path))) as file:
                head, length = file.read(HEADER_BYTES), os.fstat(file.fileno()).st_size
        except (OSError, PathOutside):
            continue
        header = None if image.format == DriverType.RAW else parse_header(head)
        return header.virtual_bytes if header else length
    return image.size_bytes


def _held(
    project: Project,
    snapshots: Mapping[Place, StoredBytes],
    *,
    is_whole: bool,
    queued: int | None = None,
) -> Bytes:
    files = _held_files(str(project.directory), project.stamps(), is_whole, queued)
    return _by_host(files, snapshots, kept_sizes(project))


@lru_cache(maxsize=4096)
def _held_files(
    directory: str, stamps: tuple[Stamp, ...], is_whole: bool, queued: int | None
) -> _Files:
    """Compute the bytes of a testbed's files, of two with one path the larger.

    Read again when a file of its state changed.

    `is_whole`: all its disks may exist, and not only those with a record. `queued` is
    the run in the queue that will make those of its own state.
    """
    project = Project(Path(directory))
    try:
        planned = PlannedStart.objects.states_of(queued) if queued else ()
        states = (*project.read_all(), *planned)
    except StateError:  # unknown then; the testbed's own page reports it
        return _Files({}, {})

    def has_disk(guest: GuestState) -> bool:
        return is_whole or bool(guest.markers.disk)

    largest: dict[Place, int] = {}
    for state in states:
        for place, count in _files(project, state, has_disk):
            largest[place] = max(count, largest.get(place, 0))
    return _summed(largest)


def _files(project: Project, state: State, has_disk: HasDisk) -> Iterator[File]:
    """Yield host, path and full size of each disk and seed.

    Main keeps a copy of every seed, made with the artefacts.
    """
    disks = disk_bytes(state, cache(virtual_bytes))
    context_bytes = cache(partial(_context_bytes, FolderFiles(project.files)))
    for guest in state.guests:
        seed = context_bytes(guest.context) if guest.seed and guest.context else 0
        yield (state.main.name, f"{guest.name} seed"), seed
        if has_disk(guest):
            yield (guest.host, guest.disk), disks[guest.name]
        if has_disk(guest) and guest.host != state.main.name:
            yield (guest.host, guest.seed), seed


def _context_bytes(files: FolderFiles, context: str) -> int:
    return files.size_bytes(context, at_most=CONTEXT_LIMIT_BYTES)


def _summed(files: Mapping[Place, int]) -> _Files:
    sums: Counter[str] = Counter()
    disks: Counter[Place] = Counter()
    for (host, path), count in files.items():
        sums[host] += count
        if path.endswith(DISK_FILE):
            name = path.rpartition("/")[2].removesuffix(DISK_FILE)
            disks[host, name] += count
    return _Files(sums, disks)


def _by_host(
    files: _Files,
    snapshots: Mapping[Place, StoredBytes],
    kept: Mapping[str, tuple[int, int]],
) -> dict[str, int]:
    """Sum the files of each host; disks with snapshots as the module says.

    `kept` has those of guests that are down, which no look at a host finds.
    """
    found = Counter(files.sums)
    down = {place: kept[place[1]] for place in files.disks if place[1] in kept}
    for place, (memory, disk) in (down | dict(snapshots)).items():
        if place in files.disks:
            found[place[0]] += max(memory, disk - files.disks[place])
    return dict(found)


def _require_space(testbed: Testbed, wanted: Bytes, promised: Bytes) -> None:
    stores = ImageStore.objects.filter(host__name__in=wanted).select_related("host")
    found = [_problem(store, wanted, promised) for store in stores]
    if any(found):
        raise NotEnoughSpace(
            f"The disks of testbed {testbed} do not fit. {' '.join(filter(None, found))}",
            hint="Use fewer guests, smaller disks or smaller contexts, delete disks and "
            "artefacts of other testbeds, or ask your lab's admin for more space or a "
            "higher TESTBED_DISK_OVERCOMMIT.",
        )


def _problem(store: ImageStore, wanted: Bytes, promised: Bytes) -> str:
    """Return why a host has no space; empty when it has, or was never looked at."""
    host, free, factor = store.host, store.projects_free_bytes, settings.DISK_OVERCOMMIT
    if free is None or store.seen_at is None:
        return ""
    count, others = wanted[host.name], promised.get(host.name, 0)
    limit = int(factor * (free + store.artefact_bytes))
    if count + others <= limit:
        return ""
    return (
        f"On {host.name} they may grow to {size(count)}, and those of other testbeds to "
        f"{size(others)}. There {host.to_state().projects_dir} had {size(free)} free at "
        f"{timezone.localtime(store.seen_at):%H:%M} and held "
        f"{size(store.artefact_bytes)} of testbeds' disks and seeds, which allows "
        f"{size(limit)} with the overcommit factor {factor:g}."
    )
