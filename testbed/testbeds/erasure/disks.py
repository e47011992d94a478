"""The disks that an act on a testbed erases, with their sizes as last seen.

Up erases the disks of guests that an edit removes, moves or recreates, and with
`provision` all. Only disks that were recorded as made count: no guest ran on another.
Where whole folders go, so do the disks that were seen in them and that no record has.
A guest's snapshots lie in its disk. Sizes are those of the last look at each host; no
host is asked. Called by the services that make runs and delete testbeds.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import PurePosixPath

from orchestration.errors import StateError
from orchestration.inventory.snapshots import kept_snapshots
from orchestration.inventory.things import DISK_FILE
from orchestration.plan.model import Command, Options
from orchestration.state.diff.changes import Change, ChangeKind, diff
from orchestration.state.model import GuestState, State
from testbed.models import Inventory, Testbed
from testbed.testbeds.erasure.losses import Erasure, Loss, Sort, snapshot_loss
from testbed.testbeds.planning import wanted_state

PROVISIONED = "all disks are recreated"
NO_RECORD = "its guest has no record of it"
KEPT_BY_CLEAR = (
    "The artefacts are removed, and made again by the next Up. The YAML, its files and "
    "the records of its runs stay."
)
# A guest whose disk goes, and the reason.
Gone = tuple[GuestState, str]
# Bytes by host and file.
Sizes = Mapping[tuple[str, str], int]
Losses = tuple[tuple[Loss, ...], datetime | None]


def erased_by_up(testbed: Testbed, options: Options) -> Erasure:
    """Return what `up` erases. Raises: SpecError, NotBuiltYet, StateError."""
    gone: tuple[Gone, ...] = ()
    if _may_have_disks(testbed):  # else no state is built twice
        known, wanted = wanted_state(testbed)
        gone = tuple(_changed(known, wanted, options)) if known else ()
    return _erasure(testbed, Command.UP, _losses(testbed, gone))


def erased_by_clear(testbed: Testbed) -> Erasure:
    """Return what deleting disks and artefacts erases."""
    losses = all_disks(testbed)
    return _erasure(testbed, Command.CLEAR_ARTEFACTS, losses, kept=(KEPT_BY_CLEAR,))


def erased_by_recreating(testbed: Testbed, names: Sequence[str]) -> Erasure:
    """Return what recreating some guests erases. Raises: StateError."""
    guests = testbed.project.read_state().guests
    gone = [(g, "") for g in guests if g.name in names and g.markers.disk]
    alone = names[0] if len(names) == 1 else ""
    losses = _losses(testbed, gone)
    return _erasure(testbed, Command.UP_GUESTS, losses, must_type=alone)


def all_disks(testbed: Testbed) -> Losses:
    """Return all disks of a testbed, and the oldest look at them.

    Of a state that cannot be read, those that were seen.
    """
    try:
        known = testbed.project.read_known().guests
    except StateError:
        known = ()
    made = [guest for guest in known if guest.markers.disk]
    recorded = {_place(guest) for guest in made}
    losses, seen_at = _losses(testbed, [(guest, "") for guest in made])
    sizes, looked_at = _seen(testbed)
    others = tuple(
        Loss(Sort.DISK, file.removesuffix(DISK_FILE), host, count, NO_RECORD)
        for (host, file), count in sorted(sizes.items())
        if (host, file) not in recorded
    )
    return losses + others, min(filter(None, (seen_at, looked_at)), default=None)


def _may_have_disks(testbed: Testbed) -> bool:
    project = testbed.project
    try:
        guests = project.read_known().guests if project.has_state() else ()
    except StateError:
        return True
    return any(guest.markers.disk for guest in guests)


def _erasure(
    testbed: Testbed,
    command: Command,
    disks: Losses,
    *,
    must_type: str = "",
    kept: tuple[str, ...] = (),
) -> Erasure:
    losses, seen_at = disks
    typed = (must_type or testbed.name) if losses else ""
    return Erasure(command.value, str(testbed.pk), losses, typed, kept, seen_at)


def _losses(testbed: Testbed, gone: Iterable[Gone]) -> Losses:
    found = list(gone)
    if not found:
        return (), None
    sizes, seen_at = _seen(testbed)
    losses = tuple(
        Loss(
            Sort.DISK,
            guest.name,
            guest.host,
            sizes.get(_place(guest)),
            reason,
            version=guest.markers.disk,
        )
        for guest, reason in found
    )
    return losses + tuple(_snapshots(testbed, found)), seen_at


def _snapshots(testbed: Testbed, gone: Iterable[Gone]) -> Iterator[Loss]:
    """Yield the snapshots in the disks that go, as last seen, or kept while down."""
    seen = {row.name: row for row in testbed.observed_snapshots.all()}
    for guest, _ in gone:
        row = seen.get(guest.name)
        kept = () if row else kept_snapshots(testbed.project, guest.name)
        for one in row.read() if row else kept:
            # The size of its disk has its memory.
            loss = snapshot_loss(guest.name, guest.host, one)
            yield replace(loss, size_bytes=None)


def _changed(known: State, wanted: State, options: Options) -> Iterator[Gone]:
    changes = {(c.name, c.host): c for c in diff(known, wanted).guests if _erases(c)}
    for guest in known.guests:
        change = changes.get((guest.name, guest.host))
        if guest.markers.disk and (change or options.provision):
            yield guest, ", ".join(change.reasons) if change else PROVISIONED


def _erases(change: Change) -> bool:
    return change.kind in (ChangeKind.REMOVE, ChangeKind.RECREATE)


def _place(guest: GuestState) -> tuple[str, str]:
    return guest.host, PurePosixPath(guest.disk).name


def _seen(testbed: Testbed) -> tuple[Sizes, datetime | None]:
    """Return the sizes of a testbed's disks as seen, and when the oldest was."""
    sizes: dict[tuple[str, str], int] = {}
    looks = []
    rows = Inventory.objects.filter(disks__has_key=testbed.slug)
    for host, disks, at in rows.values_list("host__name", "disks", "looked_at"):
        seen: dict[str, int] = (disks or {}).get(testbed.slug, {})
        sizes |= {(host, file): taken for file, taken in seen.items()}
        looks.append(at)
    return sizes, min(looks, default=None)
