"""A reservation as a page shows it to one user, also to those who may not read it."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime

from django.contrib.auth.models import User

from orchestration.state.placement import Taken
from testbed.models import Host, Reservation
from testbed.models.expiry import database_now
from testbed.reservations.held import beyond, held_now
from testbed.reservations.moments import period
from testbed.reservations.wishes import amount, need_of
from testbed.testbeds.capacity import parties

MOST_ON_HOST = 10


@dataclass(frozen=True, slots=True)
class Shown:
    """A reservation; `row` has more than its user may read unless `may_read`.

    `state` is a status word: current, to come, over, cancelled, or lost.
    """

    row: Reservation
    may_read: bool
    state: str
    problem: str = ""

    @property
    def amount(self) -> str:
        """Its amounts in words."""
        return amount(need_of(self.row))

    @property
    def period(self) -> str:
        """Its time in words, with the zone."""
        return period(self.row.begins_at, self.row.ends_at)

    @property
    def is_open(self) -> bool:
        """Return whether it may still be changed and cancelled."""
        return self.state in ("current", "to come", "lost")

    def json(self) -> dict[str, object]:
        """Return it for programs."""
        row = self.row
        shape: dict[str, object] = {
            "host": row.host_name,
            "vcpus": row.vcpus,
            "memory_mib": row.memory_mib,
            "begins_at": row.begins_at,
            "ends_at": row.ends_at,
            "state": self.state,
        }
        if self.may_read:
            shape |= {
                "id": row.pk,
                "holder": row.holder_name,
                "purpose": row.purpose,
                "made_by": row.made_by,
                "problem": self.problem,
                "version": row.version,
            }
        return shape


def shown(rows: Iterable[Reservation], user: User, now: datetime) -> list[Shown]:
    """Return reservations for a user (two queries, as the rows have host and holder)."""
    found = list(rows)
    if not found:
        return []
    ids = [row.pk for row in found]
    visible = Reservation.objects.visible_to(user).filter(pk__in=ids)
    may_read = set(visible.values_list("pk", flat=True))
    return [shown_as(row, now, may_read=row.pk in may_read) for row in found]


def next_on(host: Host, user: User) -> list[Shown]:
    """Return a host's reservations that are current or come next, for a user."""
    rows = Reservation.objects.claiming().not_over().filter(host=host)
    people = rows.select_related("host", "user", "group")
    return shown(people[:MOST_ON_HOST], user, database_now())


def shown_as(row: Reservation, now: datetime, *, may_read: bool) -> Shown:
    """Return a reservation for a user who may read it, or may not."""
    found = Shown(row, may_read, _state(row, now))
    return (
        replace(found, problem=_problem(row)) if may_read and found.is_open else found
    )


def used_of(row: Reservation) -> Taken:
    """Return how much of a current reservation its holder's guests use."""
    for one in held_now(parties()):
        if one.reservation == row.pk:
            return beyond(need_of(row), one.rest)
    return Taken()


def _state(row: Reservation, now: datetime) -> str:
    if row.cancelled_at is not None:
        return "cancelled"
    if row.ends_at <= now:
        return "over"
    if row.host is None or row.holder is None:
        return "lost"
    return "current" if row.begins_at <= now else "to come"


def _problem(row: Reservation) -> str:
    """Say why its holder cannot use it, in one sentence or two; or ''."""
    host, said = row.host, []
    if row.holder is None:
        said.append("Its holder was deleted: it keeps nothing free any more.")
    elif row.user is not None and not row.user.is_active:
        said.append("The account of its holder is deactivated.")
    if host is None:
        said.append(f"{row.host_name} was removed: it keeps nothing free any more.")
    elif host.drained_at is not None:
        said.append(f"{host.drained_words}. No guest is started there until that ends.")
    elif host.problem:
        said.append(f"{host.name} is offline: no guest is started there.")
    if host is not None and 0 < host.most_vcpus < row.vcpus:
        said.append(f"{host.name} may have only {host.most_vcpus} vCPUs by now.")
    if host is not None and 0 < host.most_memory_mib < row.memory_mib:
        said.append(f"{host.name} may have only {host.most_memory_mib} MiB by now.")
    return " ".join(said)
