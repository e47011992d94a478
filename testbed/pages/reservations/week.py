"""The calendar of capacity: what of each host is reserved, used and free in one week.

Days are those of the lab's time zone; one on which a clock changes has 23 or 25 hours.
"""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from itertools import pairwise
from math import ceil

from django.contrib.auth.models import User
from django.db.models import Q
from django.utils import timezone

from orchestration.state.placement import Taken
from testbed.models import Host, Reservation
from testbed.models.reservations.rows import ReservationQuerySet
from testbed.reservations.held import beyond, held_now, total_of
from testbed.reservations.timeline import Claim, most, spans
from testbed.reservations.wishes import claims_of, whole_of
from testbed.testbeds.capacity import by_host, counted, parties

FIRST_YEAR, LAST_YEAR = 2000, 2100
# Of the picture of a day, in its own units.
WIDTH, HEIGHT = 96, 24
LEAST_HEIGHT = 2.0


@dataclass(frozen=True, slots=True)
class Bar:
    """A part of a day's picture: how full the host is reserved at that time."""

    x: float
    width: float
    height: float

    @property
    def y(self) -> float:
        """The upper edge: bars stand on the ground."""
        return HEIGHT - self.height


@dataclass(frozen=True, slots=True)
class Day:
    """One day of a host: the most that is reserved, and the least that is not."""

    day: date
    reserved: Taken
    free: Taken
    percent: int
    bars: tuple[Bar, ...]
    is_today: bool

    @property
    def is_empty(self) -> bool:
        """Return whether nothing is reserved."""
        return self.reserved == Taken()


@dataclass(frozen=True, slots=True)
class HostWeek:
    """A host in one week, and now.

    `free` is what neither guests use nor reservations keep for others now. `over` is
    how much more is reserved in the week than the host may have by now.
    """

    host: Host
    whole: Taken
    used: Taken
    kept: Taken
    free: Taken
    over: Taken
    days: tuple[Day, ...]

    @property
    def is_over(self) -> bool:
        """Return whether its capacity was lowered below what is reserved."""
        return self.over != Taken() and bool(self.whole.cpus)

    def json(self) -> dict[str, object]:
        """Return it for programs."""
        return {
            "host": self.host.name,
            "capacity": _shape(self.whole),
            "used_now": _shape(self.used),
            "reserved_and_unused_now": _shape(self.kept),
            "free_now": _shape(self.free),
            "days": [
                {
                    "day": one.day,
                    "reserved_at_most": _shape(one.reserved),
                    "unreserved_at_least": _shape(one.free),
                }
                for one in self.days
            ],
        }


@dataclass(frozen=True, slots=True)
class Week:
    """Seven days from a Monday on, with the moments at which they begin and end."""

    monday: date

    @property
    def name(self) -> str:
        """The week as an address has it: `2026-W48`."""
        return f"{self.monday:%G-W%V}"

    @property
    def days(self) -> list[date]:
        """The seven days."""
        return [self.monday + timedelta(days=count) for count in range(7)]

    @property
    def edges(self) -> list[datetime]:
        """The begins of the seven days and of the next week, by the lab's clocks."""
        days = [*self.days, self.monday + timedelta(days=7)]
        # In UTC: Python subtracts two times of one other zone by their clocks.
        begins = [timezone.make_aware(datetime.combine(day, time.min)) for day in days]
        return [begin.astimezone(UTC) for begin in begins]

    @property
    def sunday(self) -> date:
        """Its last day."""
        return self.monday + timedelta(days=6)

    def after(self, weeks: int) -> "Week":
        """Return the week so many weeks later; none beyond the years with a page."""
        return _bounded(self.monday + timedelta(weeks=weeks))

    @property
    def previous(self) -> str:
        """The name of the week before."""
        return self.after(-1).name

    @property
    def next(self) -> str:
        """The name of the week after."""
        return self.after(1).name


def week_of(text: str, now: datetime) -> Week:
    """Return the week of a text such as `2026-W48`; of any other text the present one."""
    try:
        year, _, number = text[:10].partition("-W")
        return _bounded(date.fromisocalendar(int(year), int(number), 1))
    except ValueError:
        today = timezone.localtime(now).date()
        return _bounded(today - timedelta(days=today.weekday()))


def rows_of_week(week: Week, user: User) -> ReservationQuerySet:
    """Return the week's reservations, in order.

    Those that were cancelled, of which there may be any number, for their readers alone.
    """
    edges = week.edges
    own = Q(pk__in=Reservation.objects.visible_to(user).values("pk"))
    rows = Reservation.objects.between(edges[0], edges[-1])
    return rows.filter(Q(cancelled_at=None) | own).select_related(
        "host", "user", "group"
    )


def hosts_in(week: Week, hosts: Collection[Host], now: datetime) -> list[HostWeek]:
    """Return the hosts in a week (at most five queries, for any number of hosts)."""
    edges = week.edges
    rows = Reservation.objects.claiming().filter(host__in=[host.pk for host in hosts])
    claims: dict[int, list[Claim]] = {host.pk: [] for host in hosts}
    for row in rows.between(edges[0], edges[-1]):
        claims[row.host_id or 0] += claims_of([row])
    found = counted()
    used = by_host(need for one in found for need in one.held)
    kept: dict[str, list[Taken]] = {}
    for one in held_now(parties(found)):
        kept.setdefault(one.host, []).append(one.rest)
    return [
        _host_week(
            host,
            claims[host.pk],
            edges,
            used.get(host.name, Taken()),
            total_of(kept.get(host.name, [])),
            now,
        )
        for host in hosts
    ]


def _host_week(
    host: Host,
    claims: Collection[Claim],
    edges: list[datetime],
    used: Taken,
    kept: Taken,
    now: datetime,
) -> HostWeek:
    whole = whole_of(host)
    days = tuple(_day(claims, place, whole, now) for place in pairwise(edges))
    over = beyond(most(claims, edges[0], edges[-1]), whole)
    return HostWeek(host, whole, used, kept, beyond(whole, used + kept), over, days)


def _day(
    claims: Collection[Claim],
    place: tuple[datetime, datetime],
    whole: Taken,
    now: datetime,
) -> Day:
    begin, end = place
    parts = spans(claims, begin, end)
    reserved = most(claims, begin, end)
    length = end - begin
    bars = tuple(
        Bar(
            round(WIDTH * ((part.begins_at - begin) / length), 1),
            round(WIDTH * ((part.ends_at - part.begins_at) / length), 1),
            max(LEAST_HEIGHT, round(HEIGHT * min(1.0, share(part.need, whole)), 1)),
        )
        for part in parts
        if part.need != Taken()
    )
    return Day(
        timezone.localtime(begin).date(),
        reserved,
        beyond(whole, reserved),
        ceil(100 * share(reserved, whole)),
        bars,
        is_today=begin <= now < end,
    )


def share(need: Taken, whole: Taken) -> float:
    """Return the larger of the shares of vCPUs and memory; of nothing all is used."""
    pairs = ((need.cpus, whole.cpus), (need.memory_mib, whole.memory_mib))
    return max(part / of if of else float(bool(part)) for part, of in pairs)


def _bounded(monday: date) -> Week:
    year = monday.isocalendar().year
    if year < FIRST_YEAR:
        return Week(date.fromisocalendar(FIRST_YEAR, 1, 1))
    if year > LAST_YEAR:
        return Week(date.fromisocalendar(LAST_YEAR, 52, 1))
    return Week(monday)


def _shape(need: Taken) -> dict[str, int]:
    return {"vcpus": need.cpus, "memory_mib": need.memory_mib}
