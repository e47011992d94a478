"""Computes what current reservations keep from the guests of others.

A guest counts against a reservation on its host when its testbed is for the holder: the
testbed's owner is that user or in that group, or the testbed is charged to the group.
What such guests do not use yet is kept from all other testbeds. Planning, the queue and
pages ask here (`testbeds/capacity.py` gives the guests that count).
"""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime

from django.contrib.auth.models import User
from django.db.models.functions import Now

from orchestration.state.placement import Taken
from testbed.models import Reservation
from testbed.reservations.wishes import need_of

# The current ones are read whole, of those to come the next ones.
MOST_CLAIMS = 1000


@dataclass(frozen=True, slots=True)
class Party:
    """A testbed's owner and charged group, and what its guests use by host."""

    owner: int
    group: int | None
    used: Mapping[str, Taken]


@dataclass(frozen=True, slots=True)
class Held:
    """A reservation, and what of it its holder's guests do not use yet.

    `need` is all of it. `users` are those whose testbeds may use it; a testbed charged to
    `group` may, too.
    """

    reservation: int
    host: str
    need: Taken
    rest: Taken
    begins_at: datetime
    ends_at: datetime
    users: frozenset[int]
    group: int | None = None

    def is_for(self, owner: int, group: int | None) -> bool:
        """Return whether the guests of a testbed count against it."""
        return owner in self.users or (group is not None and group == self.group)

    def less(self, used: Taken) -> "Held":
        """Return it with so much of it used, at most all."""
        return replace(self, rest=beyond(self.rest, used))


@dataclass(frozen=True, slots=True)
class Claims:
    """The reservations that are not over, of which nothing is used, and the database's time.

    `now` is None where there is no reservation.
    """

    held: tuple[Held, ...] = ()
    now: datetime | None = None

    def on(self, hosts: Collection[str]) -> "Claims":
        """Return those on some hosts."""
        found = tuple(one for one in self.held if one.host in hosts)
        return Claims(found, self.now)

    @property
    def current(self) -> tuple[Held, ...]:
        """Those whose time it is."""
        return tuple(one for one in self.held if self.now and one.begins_at <= self.now)


def claims_now() -> Claims:
    """Read the reservations that are not over (one query, two with those of groups)."""
    claiming = Reservation.objects.claiming()
    rows = list(claiming.not_over().annotate(read_at=Now())[:MOST_CLAIMS])
    if not rows:
        return Claims()
    now: datetime = vars(rows[0])["read_at"]
    if len(rows) == MOST_CLAIMS:  # in the order of their begins
        current = claiming.not_over().filter(begins_at__lte=now)
        rows = [*current, *(row for row in rows if row.begins_at > now)]
    return Claims(held_of_rows(rows), now)


def held_now(parties: Iterable[Party]) -> tuple[Held, ...]:
    """Return the current reservations with what is left of each (at most two queries)."""
    return left_of(held_of_rows(Reservation.objects.claiming().current()), parties)


def left_of(found: tuple[Held, ...], parties: Iterable[Party]) -> tuple[Held, ...]:
    """Return reservations with what the guests of testbeds leave of each."""
    if not found:
        return ()
    for party in parties:
        found = use_up(found, party.owner, party.group, party.used)
    return found


def held_of_rows(rows: Iterable[Reservation]) -> tuple[Held, ...]:
    """Return reservations of which nothing is used, those of users before groups'."""
    found = sorted(rows, key=lambda row: (row.group_id is not None, row.pk))
    members = _members({row.group_id for row in found if row.group_id is not None})
    return tuple(
        Held(
            row.pk,
            row.host_name,
            need_of(row),
            need_of(row),
            row.begins_at,
            row.ends_at,
            _users_of(row, members),
            row.group_id,
        )
        for row in found
    )


def _members(groups: Collection[int]) -> Mapping[int, set[int]]:
    """Return the users of groups, by their ids; without groups no query."""
    found: dict[int, set[int]] = {}
    if groups:
        pairs = User.groups.through.objects.filter(group_id__in=groups)
        for group, user in pairs.values_list("group_id", "user_id"):
            found.setdefault(group, set()).add(user)
    return found


def _users_of(row: Reservation, members: Mapping[int, set[int]]) -> frozenset[int]:
    if row.group_id is not None:
        return frozenset(members.get(row.group_id, ()))
    return frozenset() if row.user_id is None else frozenset({row.user_id})


def use_up(
    held: Iterable[Held], owner: int, group: int | None, used: Mapping[str, Taken]
) -> tuple[Held, ...]:
    """Count guests against the reservations that are for them, one after another."""
    left, found = dict(used), []
    for one in held:
        use = left.get(one.host, Taken())
        if one.is_for(owner, group) and use != Taken():
            left[one.host] = beyond(use, one.rest)
            one = one.less(use)
        found.append(one)
    return tuple(found)


def kept_from(held: Iterable[Held], owner: int, group: int | None) -> dict[str, Taken]:
    """Return what reservations keep from a testbed, by host."""
    sums: dict[str, Taken] = {}
    for one in held:
        if not one.is_for(owner, group):
            sums[one.host] = sums.get(one.host, Taken()) + one.rest
    return sums


def kept_for(held: Iterable[Held], owner: int, group: int | None) -> dict[str, Taken]:
    """Return what reservations keep for a testbed, by host."""
    sums: dict[str, Taken] = {}
    for one in held:
        if one.is_for(owner, group):
            sums[one.host] = sums.get(one.host, Taken()) + one.rest
    return sums


def is_within(need: Taken, bound: Taken) -> bool:
    """Return whether both amounts are at most the bound's."""
    return need.cpus <= bound.cpus and need.memory_mib <= bound.memory_mib


def beyond(need: Taken, bound: Taken) -> Taken:
    """Return by how much amounts are larger than a bound."""
    return Taken(
        max(0, need.cpus - bound.cpus), max(0, need.memory_mib - bound.memory_mib)
    )


def total_of(needs: Collection[Taken]) -> Taken:
    """Return the sum of amounts."""
    return sum(needs, Taken())
