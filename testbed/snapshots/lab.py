"""Snapshots that a lab admin chose in the list of the whole lab, and acts on them.

An act on several becomes an order for each testbed and name, which `orders` starts one
after the other: each is a run like that of a guest's own page. The answer to a question
counts for the snapshots that were shown, as they are read now.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import timedelta

from django.contrib.auth.models import User
from django.db import transaction
from django.utils import timezone

from orchestration.amounts import count_of
from orchestration.errors import SnapshotFailed
from orchestration.plan.snapshots import SnapshotVerb
from testbed.celery import request_observation
from testbed.hosts.snapshots import READ_AGAIN
from testbed.models import LabSnapshot, ObservedSnapshots, SnapshotOrder, Testbed
from testbed.models.protection import require_unprotected
from testbed.models.snapshots.lab import MOST_CHOSEN
from testbed.snapshots.orders import start_waiting
from testbed.testbeds.erasure.losses import Erasure, Loss, Sort, require_confirmed
from testbed.testbeds.executions import NUMBER


@dataclass(frozen=True, slots=True)
class Choice:
    """The snapshots that were chosen, and the act on them.

    `keeps`: each guest's present state is kept as a snapshot before a restore.
    """

    verb: SnapshotVerb
    rows: tuple[LabSnapshot, ...]
    keeps: bool = False

    @property
    def erasure(self) -> Erasure:
        """The things that die: the snapshots, or the guests' present states."""
        seen = [row.guest.observed_at for row in self.rows]
        losses = tuple(map(self._loss, self.rows))
        return Erasure(self._act, "lab", losses, seen_at=min(seen, default=None))

    @property
    def _act(self) -> str:
        kept = " keeping" if self.keeps else ""
        return f"{self.verb}{kept} snapshots"

    def _loss(self, row: LabSnapshot) -> Loss:
        guest, testbed = row.guest.name, row.guest.testbed.full_name
        version = f"{testbed} {guest} {row.name} {row.created_s}"
        if self.verb is SnapshotVerb.DELETE:
            reason, taken = (
                f"snapshot of {guest} in {testbed}",
                row.memory_bytes or None,
            )
            return Loss(
                Sort.SNAPSHOT, row.title, row.guest.host, taken, reason, version
            )
        kept = "; its present state is kept as a snapshot" if self.keeps else ""
        reason = f"of {testbed} returns to {row.title}{kept}"
        return Loss(Sort.STATE, guest, row.guest.host, reason=reason, version=version)


def chosen(verb: str, picks: Iterable[str], *, keeps: bool = False) -> Choice:
    """Return the snapshots with these keys that are still there.

    Raises: SnapshotFailed (nothing that can be done is chosen).
    """
    if verb not in (SnapshotVerb.DELETE, SnapshotVerb.RESTORE):
        raise SnapshotFailed("No act is chosen.", hint="Choose one of the list.")
    keys = [int(pick) for pick in picks if NUMBER.fullmatch(pick)]
    if len(keys) > MOST_CHOSEN:
        raise SnapshotFailed(
            f"More than {MOST_CHOSEN} snapshots are chosen.", hint="Choose fewer."
        )
    rows = LabSnapshot.objects.filter(pk__in=keys).order_by(
        "guest__testbed__name", "guest__testbed", "guest__name", "pk"
    )
    found = tuple(rows.select_related("guest__testbed__owner"))
    if not found:
        raise SnapshotFailed(
            "No snapshot that is still there is chosen.", hint="Choose one of the list."
        )
    _require_possible(SnapshotVerb(verb), found)
    return Choice(SnapshotVerb(verb), found, keeps)


def order(choice: Choice, user: User, *, confirm: str) -> list[SnapshotOrder]:
    """Order the act on each snapshot, and start those that can start at once.

    Raises: Unconfirmed, Protected.
    """
    require_confirmed(choice.erasure, confirm)
    before = f"before-{timezone.localtime():%Y%m%d-%H%M%S}" if choice.keeps else ""
    groups: dict[tuple[Testbed, str], list[LabSnapshot]] = {}
    for row in choice.rows:
        groups.setdefault((row.guest.testbed, row.name), []).append(row)
    with transaction.atomic():
        if choice.verb is SnapshotVerb.DELETE or not choice.keeps:
            for (testbed, _), rows in groups.items():
                require_unprotected(testbed, [row.guest.name for row in rows])
        orders = [_order(choice.verb, rows, user, before) for rows in groups.values()]
    start_waiting()
    return orders


def refresh_snapshots() -> None:
    """Let the next look read all snapshots whole, and request it."""
    old = timezone.now() - READ_AGAIN - timedelta(seconds=1)
    ObservedSnapshots.objects.filter(read_at__gt=old).update(read_at=old)
    request_observation()


def _order(
    verb: SnapshotVerb, rows: Sequence[LabSnapshot], user: User, before: str
) -> SnapshotOrder:
    is_restore = verb is SnapshotVerb.RESTORE
    return SnapshotOrder.objects.create(
        testbed=rows[0].guest.testbed,
        verb=verb.value,
        name=rows[0].name,
        guests=[row.guest.name for row in rows],
        before=before,
        leaves={row.guest.name: row.status for row in rows} if is_restore else {},
        taken={row.guest.name: row.created_s for row in rows},
        asked_by=user,
    )


def _require_possible(verb: SnapshotVerb, rows: Sequence[LabSnapshot]) -> None:
    external = [row for row in rows if row.is_external]
    if external:
        raise SnapshotFailed(
            f"{count_of(len(external), 'external snapshot')} of another program: "
            f"{external[0]} cannot be deleted or restored here.",
            hint="Use virsh on its host.",
        )
    guests = [row.guest_id for row in rows]
    twice = next((row for row in rows if guests.count(row.guest_id) > 1), None)
    if verb is SnapshotVerb.RESTORE and twice is not None:
        raise SnapshotFailed(
            f"Guest {twice.guest.name} of {twice.guest.testbed} cannot return to "
            "several snapshots.",
            hint="Choose one for each guest.",
        )
