"""Makes, changes and cancels reservations, so that no host is promised twice.

Called by views. Each act is one transaction under the lock that plans share
(`models.hosts.wait_for_other_plans`): two browsers never get the same rest, and a run
that begins sees a reservation whole or not at all. Running guests are no reason for a
refusal: they may be gone by then, and nothing is stopped for a reservation.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime

from django.contrib.auth.models import User
from django.db import transaction

from orchestration.errors import TestbedBusy
from orchestration.terminal import plain
from testbed.access.limits import Account, name_of
from testbed.access.permissions import is_admin
from testbed.access.record import write
from testbed.celery import request_start
from testbed.models import Reservation
from testbed.models.expiry import database_now
from testbed.models.hosts import wait_for_other_plans
from testbed.models.record.entries import RESERVATIONS
from testbed.models.reservations.rows import MOST_PURPOSE
from testbed.reservations.bounds import require_limits, require_time, this_minute
from testbed.reservations.fitting import host_for
from testbed.reservations.holders import holders_for
from testbed.reservations.moments import in_words
from testbed.reservations.wishes import (
    ReservationRefused,
    Wish,
    in_full,
    is_part_of,
)


def reserve(wish: Wish, holder: Account, user: User) -> Reservation:
    """Reserve capacity for a holder.

    Raises: ReservationRefused (a bad time or amount; a limit; no host has so much left).
    """
    with _alone() as now:
        if holders_for(user).get(name_of(holder)) != holder:
            raise ReservationRefused(
                f"You may not reserve for {name_of(holder)}.",
                hint="Reserve for yourself, or for a group that you manage.",
            )
        require_time(wish, now)
        if not is_admin(user):
            require_limits(wish, holder, now)
        host = host_for(wish)
        made = Reservation.objects.create(
            host=host,
            host_name=host.name,
            vcpus=wish.need.cpus,
            memory_mib=wish.need.memory_mib,
            begins_at=wish.begins_at,
            ends_at=wish.ends_at,
            user=holder if isinstance(holder, User) else None,
            group=None if isinstance(holder, User) else holder,
            holder_name=name_of(holder),
            purpose=_one_line(wish.purpose),
            made_by=user.get_username(),
            made_at=now,
        )
        _record(user, made, f"reserved {in_full(made)}")
    return made


def change(reservation: Reservation, wish: Wish, user: User, seen: int) -> Reservation:
    """Change a reservation as it was at the version `seen`.

    One that has begun keeps its begin. A part of what it was is always granted: a quota
    or a host may have become smaller. Raises: as `reserve`; ReservationRefused (it is
    over, or was cancelled), TestbedBusy (another user changed it since).
    """
    with _alone() as now:
        found = _locked(reservation, now)
        if found.version != seen:
            raise TestbedBusy(
                f"Another user changed {found} since you opened the page: it is "
                f"{in_full(found)}.",
                hint="Open it again, and repeat your change if it is still right.",
            )
        begun = found.begins_at <= now
        wish = replace(wish, begins_at=found.begins_at) if begun else wish
        require_time(wish, now, is_begun=begun)
        # Its past is over, and so is that of the others.
        rest = replace(wish, begins_at=max(wish.begins_at, this_minute(now)))
        if found.host is None or not is_part_of(rest, found):
            holder = found.holder
            if not is_admin(user) and holder is not None:
                require_limits(rest, holder, now, but=found, since=wish.begins_at)
            found.host = host_for(rest, but=found)
            found.host_name = found.host.name
        found.vcpus, found.memory_mib = wish.need.cpus, wish.need.memory_mib
        found.begins_at, found.ends_at = wish.begins_at, wish.ends_at
        found.purpose, found.version = _one_line(wish.purpose), seen + 1
        found.save()
        _record(user, found, f"changed it to {in_full(found)}")
        transaction.on_commit(request_start)
    return found


def cancel(reservation: Reservation, user: User) -> Reservation:
    """Cancel a reservation that is not over; its guests go on, and queued runs begin.

    Raises: ReservationRefused.
    """
    with _alone() as now:
        found = _locked(reservation, now)
        found.cancelled_at, found.cancelled_by = now, user.get_username()
        found.save(update_fields=["cancelled_at", "cancelled_by"])
        _record(user, found, f"cancelled it: {in_full(found)}")
        transaction.on_commit(request_start)
    return found


@contextmanager
def _alone() -> Iterator[datetime]:
    """Yield the present time while no plan and no other reservation is made."""
    with transaction.atomic():
        wait_for_other_plans()
        yield database_now()


def _locked(reservation: Reservation, now: datetime) -> Reservation:
    """Read a reservation that is not over. Raises: ReservationRefused."""
    people = Reservation.objects.select_related("user", "group")
    found = people.filter(pk=reservation.pk).first()
    if found is None:
        raise ReservationRefused(f"There is no {reservation} any more.")
    if found.cancelled_at is not None:
        raise ReservationRefused(
            f"{found.cancelled_by} cancelled {found} at {in_words(found.cancelled_at)}."
        )
    if found.ends_at <= now:
        raise ReservationRefused(
            f"The time of {found} ended at {in_words(found.ends_at)}.",
            hint="Make a new one.",
        )
    return found


def _record(user: User, reservation: Reservation, what: str) -> None:
    write(user, RESERVATIONS, what, thing=str(reservation))


def _one_line(text: str) -> str:
    return " ".join(plain(text.replace("\n", " ")).split())[:MOST_PURPOSE]
