"""Makes, changes and cancels reservations, so that no host is promised twice.

Called by views. Each act is one transaction under the lock that plans share
(`models.hosts.wait_for_other_plans`): two browsers never get the same rest, and a run
that begins sees a reservation whole or not at all. Running guests are no reason for a
refusal: they may be gone by then, and nothing is stopped for a reservation.
"""

from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from django.conf import settings
from django.contrib.auth.models import User
from django.db import transaction

from orchestration.amounts import count_of, mib
from orchestration.errors import TestbedBusy, TestbedError
from orchestration.state.placement import Taken
from orchestration.terminal import plain
from testbed.access.limits import Account, limits_of, name_of
from testbed.access.record import write
from testbed.celery import request_start
from testbed.models import Host, Reservation
from testbed.models.expiry import database_now
from testbed.models.hosts import wait_for_other_plans
from testbed.models.record.entries import RESERVATIONS
from testbed.models.reservations.rows import MOST_PURPOSE
from testbed.reservations.holders import holders_for
from testbed.reservations.moments import in_words, period
from testbed.reservations.timeline import Claim, fits, most, next_gap

# Of lab admins; users have the settings' bounds.
LATEST = timedelta(days=366)
MOST_OF_A_HOLDER = 50
MOST_OF_A_HOST = 200
MOST_AMOUNT = 2**31 - 1
HOUR = timedelta(hours=1)


class ReservationRefused(TestbedError):
    """A reservation is not possible so; nothing was changed."""


@dataclass(frozen=True, slots=True)
class Wish:
    """A reservation as it is asked for; without a host the emptiest one is chosen."""

    host: str
    need: Taken
    begins_at: datetime
    ends_at: datetime
    purpose: str = ""

    def on(self, whole: Taken) -> Claim:
        """Return its time with all that a host has."""
        return Claim(self.begins_at, self.ends_at, whole)

    @property
    def words(self) -> str:
        """Its amounts in words."""
        return amount(self.need)


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
        _require_time(wish, now)
        if not user.is_superuser:
            _require_limits(wish, holder, now)
        host = _host_for(wish)
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

    One that has begun keeps its begin. Raises: as `reserve`; ReservationRefused (it is
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
        _require_time(wish, now, is_begun=begun)
        holder = found.holder
        if not user.is_superuser and holder is not None:
            _require_limits(wish, holder, now, but=found)
        # Its past is over, and so is that of the others.
        rest = replace(wish, begins_at=max(wish.begins_at, _this_minute(now)))
        host = _host_for(rest, but=found)
        found.host, found.host_name = host, host.name
        found.vcpus, found.memory_mib = wish.need.cpus, wish.need.memory_mib
        found.begins_at, found.ends_at = wish.begins_at, wish.ends_at
        found.purpose, found.version = _one_line(wish.purpose), seen + 1
        found.save()
        _record(user, found, f"changed it to {in_full(found)}")
    request_start()
    return found


def cancel(reservation: Reservation, user: User) -> None:
    """Cancel a reservation that is not over; its guests go on, and queued runs begin.

    Raises: ReservationRefused.
    """
    with _alone() as now:
        found = _locked(reservation, now)
        found.cancelled_at, found.cancelled_by = now, user.get_username()
        found.save(update_fields=["cancelled_at", "cancelled_by"])
        _record(user, found, f"cancelled it: {in_full(found)}")
    request_start()


def amount(need: Taken) -> str:
    """Return an amount in words: `4 vCPUs and 8 GiB of memory`."""
    return f"{count_of(need.cpus, 'vCPU')} and {mib(need.memory_mib)} of memory"


def need_of(reservation: Reservation) -> Taken:
    """Return a reservation's amount."""
    return Taken(reservation.vcpus, reservation.memory_mib)


def in_full(reservation: Reservation) -> str:
    """Return amount, host, time and holder in words."""
    return (
        f"{amount(need_of(reservation))} of {reservation.host_name} for "
        f"{reservation.holder_name}, {period(reservation.begins_at, reservation.ends_at)}"
    )


def whole_of(host: Host) -> Taken:
    """Return the most that guests may have on a host; nothing while it is unknown."""
    return Taken(host.most_vcpus, host.most_memory_mib)


def claims_of(rows: Iterable[Reservation]) -> list[Claim]:
    """Return the claims of reservations."""
    return [Claim(one.begins_at, one.ends_at, need_of(one)) for one in rows]


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


def _require_time(wish: Wish, now: datetime, *, is_begun: bool = False) -> None:
    """Refuse amounts and times that no host can have. Raises: ReservationRefused."""
    if not (
        0 < wish.need.cpus <= MOST_AMOUNT and 0 < wish.need.memory_mib <= MOST_AMOUNT
    ):
        raise ReservationRefused(
            "A reservation needs at least 1 vCPU and 1 MiB of memory.",
            hint="Guests need both.",
        )
    if wish.ends_at <= wish.begins_at:
        raise ReservationRefused(
            f"The end, {in_words(wish.ends_at)}, is not after the begin, "
            f"{in_words(wish.begins_at)}.",
            hint="Choose a later end.",
        )
    past = wish.ends_at if is_begun else wish.begins_at
    if past < _this_minute(now) or wish.ends_at <= now:
        raise ReservationRefused(
            f"{in_words(past)} is in the past: it is {in_words(now)} now.",
            hint="Choose a time that is to come.",
        )
    if wish.ends_at > now + LATEST:
        raise ReservationRefused(
            f"{in_words(wish.ends_at)} is more than {LATEST.days} days from now.",
            hint=f"Choose an end until {in_words(now + LATEST)}.",
        )


def _require_limits(
    wish: Wish, holder: Account, now: datetime, but: Reservation | None = None
) -> None:
    """Hold users to the lab's settings and the holder's quota.

    Raises: ReservationRefused.
    """
    bounds = settings.RESERVATIONS
    if not bounds.ahead:
        raise ReservationRefused(
            "In this lab, only lab admins make reservations.", hint="Ask one of them."
        )
    ask = "Ask a lab admin for more."
    if wish.begins_at > now + bounds.ahead:
        raise ReservationRefused(
            f"{in_words(wish.begins_at)} is more than {count_of(bounds.ahead.days, 'day')} "
            "from now.",
            hint=f"Choose a begin until {in_words(now + bounds.ahead)}. {ask}",
        )
    if wish.ends_at - wish.begins_at > bounds.longest:
        hours = count_of(bounds.longest // HOUR, "hour")
        raise ReservationRefused(
            f"A reservation is for at most {hours}.",
            hint=f"Choose an end until {in_words(wish.begins_at + bounds.longest)}. {ask}",
        )
    others = Reservation.objects.claiming().of(holder)
    others = others.filter(ends_at__gt=now).exclude(pk__in=[but.pk] if but else [])
    if others.count() >= MOST_OF_A_HOLDER:
        raise ReservationRefused(
            f"{name_of(holder)} has {MOST_OF_A_HOLDER} reservations, and no more are "
            "allowed.",
            hint="Cancel one that is not needed.",
        )
    quota = limits_of(holder).use
    allowed = Taken(quota.vcpus, quota.memory_mib)
    claims = claims_of(others.between(wish.begins_at, wish.ends_at))
    if not fits(wish.need, claims, wish.on(allowed)):
        used = most(claims, wish.begins_at, wish.ends_at)
        also = f", and has reserved {amount(used)} at that time" if claims else ""
        raise ReservationRefused(
            f"{name_of(holder)} may reserve as much as its quota allows at a time, "
            f"{amount(allowed)}{also}: {wish.words} is too much.",
            hint=f"Reserve less, or at another time. {ask}",
        )


def _host_for(wish: Wish, but: Reservation | None = None) -> Host:
    """Return the wish's host, or of all the one with the most left.

    Raises: ReservationRefused (no such host, or each has too little left).
    """
    hosts = list(Host.objects.all())
    if wish.host:
        hosts = [host for host in hosts if host.name == wish.host]
    if not hosts:
        raise ReservationRefused(
            f"There is no host {wish.host[:40]}." if wish.host else "There is no host.",
            hint="The page Hosts lists all.",
        )
    if not wish.host:  # not one that starts no guest now, where there is another
        hosts.sort(key=lambda host: bool(host.problem or host.drained_at))
    rows = Reservation.objects.claiming().filter(host__in=hosts)
    rows = rows.filter(ends_at__gt=wish.begins_at).exclude(
        pk__in=[but.pk] if but else []
    )
    claims: dict[int, list[Claim]] = {host.pk: [] for host in hosts}
    for row in rows:
        claims[row.host_id or 0] += claims_of([row])
    able = [
        host
        for host in hosts
        if len(claims[host.pk]) < MOST_OF_A_HOST
        and fits(wish.need, claims[host.pk], wish.on(whole_of(host)))
    ]
    if not able:
        raise _too_little(wish, hosts, claims)
    usable = [host for host in able if not (host.problem or host.drained_at)]
    return max(
        usable or able, key=lambda host: _share_left(wish, host, claims[host.pk])
    )


def _share_left(wish: Wish, host: Host, claims: Collection[Claim]) -> float:
    """Return how much of a host stays without a reservation: the smaller share."""
    used, whole = most(claims, wish.begins_at, wish.ends_at), whole_of(host)
    cpus = 1 - (used.cpus + wish.need.cpus) / whole.cpus
    memory = 1 - (used.memory_mib + wish.need.memory_mib) / whole.memory_mib
    return min(cpus, memory)


def _too_little(
    wish: Wish, hosts: Collection[Host], claims: dict[int, list[Claim]]
) -> ReservationRefused:
    """Say what each host has left at that time, and when the wish fits."""
    said, gaps = [], []
    for host in hosts:
        whole, own = whole_of(host), claims[host.pk]
        if len(own) >= MOST_OF_A_HOST:
            said.append(f"{host.name} has {len(own)} reservations, and takes no more")
            continue
        if not whole.cpus or not whole.memory_mib:
            said.append(f"the size of {host.name} is not known yet")
            continue
        used = most(own, wish.begins_at, wish.ends_at)
        left = Taken(
            max(0, whole.cpus - used.cpus), max(0, whole.memory_mib - used.memory_mib)
        )
        said.append(f"{host.name} has {amount(left)} left of {amount(whole)}")
        gap = next_gap(wish.need, own, wish.on(whole), wish.begins_at + LATEST)
        if gap is not None:
            gaps.append((gap, host.name))
    hint = "Reserve less; no host can have so much at any time."
    if wish.host:
        hint = "Reserve less, or on another host: it never has so much."
    if gaps:
        at, name = min(gaps)
        hint = f"{wish.words} is free for as long on {name} from {in_words(at)}."
    return ReservationRefused(
        f"{wish.words} is too much for {period(wish.begins_at, wish.ends_at)}: "
        f"{'; '.join(said[:5])}.",
        hint=hint,
    )


def _record(user: User, reservation: Reservation, what: str) -> None:
    write(user, RESERVATIONS, what, thing=str(reservation))


def _this_minute(now: datetime) -> datetime:
    """Return the present minute, as forms have it."""
    return now.replace(second=0, microsecond=0)


def _one_line(text: str) -> str:
    return " ".join(plain(text.replace("\n", " ")).split())[:MOST_PURPOSE]
