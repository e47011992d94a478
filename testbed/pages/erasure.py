"""The disks that the next `up` erases, for the question before it.

Erased are the disks of guests that an edit removes, moves or recreates, and with
`provision` all disks. Only disks that were recorded as made count. Used by the view
that starts a run.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256

from orchestration.plan.model import Options
from orchestration.state.diff.changes import Change, ChangeKind, diff
from orchestration.state.model import State
from testbed.models import Testbed
from testbed.testbeds.planning import wanted_state

PROVISIONED = "all disks are recreated"


@dataclass(frozen=True, slots=True)
class Disk:
    """The disk of one guest on one host, and the reasons to erase it."""

    guest: str
    host: str
    reasons: str


def erased_disks(testbed: Testbed, options: Options) -> tuple[Disk, ...]:
    """Return the disks that `up` erases. Raises: SpecError, NotBuiltYet, StateError."""
    known, wanted = wanted_state(testbed)
    if known is None:
        return ()
    return tuple(_erased(known, wanted, is_all=options.provision))


def digest_of(disks: tuple[Disk, ...]) -> str:
    """Return a digest of the disks, so that an answer counts for these only."""
    places = sorted(f"{disk.guest} {disk.host}" for disk in disks)
    return sha256("\n".join(places).encode()).hexdigest()


def _erased(known: State, wanted: State, *, is_all: bool) -> Iterator[Disk]:
    changes = {(c.name, c.host): c for c in diff(known, wanted).guests if _erases(c)}
    for guest in known.guests:
        change = changes.get((guest.name, guest.host))
        if guest.markers.disk and (change or is_all):
            reasons = ", ".join(change.reasons) if change else PROVISIONED
            yield Disk(guest.name, guest.host, reasons)


def _erases(change: Change) -> bool:
    return change.kind in (ChangeKind.REMOVE, ChangeKind.RECREATE)
