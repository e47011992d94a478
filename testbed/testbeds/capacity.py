"""Computes how much of the hosts is assigned to other testbeds, and how much is left.

For placing guests, for quotas, and for the page of an edit. Counted are the guests with
which an Up began until the testbed is down, and those of an Up that waits; not what was
observed: a busy minute must not move a guest between the page that was read and the click
on Up. Pages, quotas and the queue compare the parts of one `Lab`.
"""

from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from django.contrib.auth.models import User
from django.db.models import Q, QuerySet

from orchestration.plan.model import Command
from orchestration.state.model import State
from orchestration.state.placement import Taken
from testbed.access.limits import AccountKey, Limits, key_of_row, limits_of_each
from testbed.models import Host, Run, SavedImage, Testbed
from testbed.reservations.held import (
    Claims,
    Held,
    Party,
    claims_now,
    held_now,
    kept_from,
    left_of,
)

# As a row has a guest: its name, host, vCPUs and MiB of memory.
Row = tuple[str, str, int, int]
UNBOUNDED = 2**62
STARTS_GUESTS = (Command.UP, Command.UP_GUESTS)
DEPLOYED = Q(condition__in=Testbed.DEPLOYED)
COMING_UP = Q(runs__status__in=Run.ACTIVE, runs__command__in=STARTS_GUESTS)


@dataclass(frozen=True, slots=True)
class GuestNeed:
    """A guest's processors and memory on a host."""

    name: str
    host: str
    need: Taken


@dataclass(frozen=True, slots=True)
class Counted:
    """A testbed's guests that count: of the Ups that began, and of one that waits.

    `wanted` is all that runs after the waiting Up; empty without one.
    """

    testbed: int
    owner: int
    account: AccountKey
    held: tuple[GuestNeed, ...]
    wanted: tuple[GuestNeed, ...] = ()

    @property
    def group(self) -> int | None:
        """The id of the group that it is charged to, if it is one."""
        is_group, pk = self.account
        return pk if is_group else None

    @property
    def whole(self) -> tuple[GuestNeed, ...]:
        """The guests that count once the waiting Up begins."""
        return largest(self.held, self.wanted) if self.wanted else self.held


class ChangingRun(NamedTuple):
    """An active run that changes its testbed; `needs` are of one that starts guests."""

    testbed: int
    command: str
    has_begun: bool
    owner: int
    group: int | None
    needs: list[Row] | None


class Lab:
    """The lab as one page or one decision reads it: each part at its first use, once.

    Nothing is kept longer: a page makes one for a request, the queue one for a turn.
    """

    def __init__(self) -> None:
        self._limits: dict[AccountKey, Limits] = {}
        self._images: dict[int, list[SavedImage]] = {}

    @cached_property
    def hosts(self) -> list[Host]:
        """All hosts (one query)."""
        return list(Host.objects.all())

    @cached_property
    def changing(self) -> list[ChangingRun]:
        """The active runs that change testbeds (one query)."""
        account = ("testbed__owner", "testbed__charged_group")
        fields = ("testbed", "command", "has_begun", *account, "planned_start__needs")
        rows = Run.objects.changing().values_list(*fields)
        return [ChangingRun(*row) for row in rows]

    @cached_property
    def counted(self) -> list[Counted]:
        """The guests that count of all testbeds (one query more than `changing`)."""
        return counted(changing=self.changing)

    @cached_property
    def claims(self) -> Claims:
        """The reservations that are not over (one query, two with those of groups)."""
        return claims_now()

    @property
    def drained(self) -> frozenset[str]:
        """The hosts that get no new guests."""
        return frozenset(host.name for host in self.hosts if host.drained_at)

    @cached_property
    def reserved(self) -> tuple[Held, ...]:
        """The current reservations, with what is left of each."""
        return left_of(self.claims.current, parties(self.counted))

    @property
    def runs_of(self) -> Counter[AccountKey]:
        """How many runs change the testbeds of each account now."""
        begun = (one for one in self.changing if one.has_begun)
        return Counter(key_of_row(one.owner, one.group) for one in begun)

    def limits_of(self, keys: Collection[AccountKey]) -> dict[AccountKey, Limits]:
        """Return the limits of accounts (at most two queries)."""
        self._limits |= limits_of_each(set(keys) - self._limits.keys())
        return {key: self._limits[key] for key in keys}

    def images_of(self, user: User) -> list[SavedImage]:
        """Return the saved images that a user's YAML may name (one query)."""
        if user.pk not in self._images:
            self._images[user.pk] = list(SavedImage.objects.usable_by(user))
        return self._images[user.pk]


def counted(
    testbeds: QuerySet[Testbed] | None = None,
    changing: Iterable[ChangingRun] | None = None,
) -> list[Counted]:
    """Return the guests that count of each testbed that is up, or for which Up is asked.

    Of all, or of some. Two queries, and no file; one where `changing` was read before.
    """
    changing = Lab().changing if changing is None else changing
    ups = [one for one in changing if one.command in STARTS_GUESTS]
    plans = {one.testbed: (one.has_begun, one.needs) for one in ups}
    among = Testbed.objects.all() if testbeds is None else testbeds
    rows = among.filter(DEPLOYED | Q(pk__in=plans))
    fields = ("pk", "owner", "charged_group", "condition", "started")
    found = []
    for pk, owner, group, condition, started in rows.values_list(*fields):
        has_begun, needs = plans.get(pk, (False, None))
        wanted = needs_of_rows(needs or ())
        held = needs_of_rows(started) if condition in Testbed.DEPLOYED else ()
        if has_begun:
            held = largest(held, wanted)
        key = key_of_row(owner, group)
        found.append(Counted(pk, owner, key, held, () if has_begun else wanted))
    return found


def taken_by_others(
    testbed: Testbed, found: Iterable[Counted] | None = None
) -> dict[str, Taken]:
    """Return the needs of all other testbeds' guests, by host.

    `found` is what `counted` returned for all testbeds, where it was asked before.
    """
    found = counted() if found is None else found
    others = (one for one in found if one.testbed != testbed.pk)
    return by_host(need for one in others for need in one.whole)


def reserved_for_others(testbed: Testbed) -> dict[str, Taken]:
    """Return what reservations keep from a testbed now, by host."""
    return kept_from(held_now(parties()), testbed.owner_id, testbed.charged_group_id)


def parties(found: Iterable[Counted] | None = None) -> Iterator[Party]:
    """Yield the testbeds with the guests that run or are being started.

    `found` is what `counted` returned, where it was asked before.
    """
    for one in counted() if found is None else found:
        yield Party(one.owner, one.group, by_host(one.held))


def held_needs(testbed: Testbed) -> tuple[GuestNeed, ...]:
    """Return the needs of the guests that count already: an Up may keep them."""
    return (
        needs_of_rows(testbed.started) if testbed.condition in Testbed.DEPLOYED else ()
    )


def add_started(testbed: Testbed, needs: Iterable[GuestNeed]) -> None:
    """Count guests from now on, whatever becomes of the Up that starts them.

    Those that run until they are changed or removed count, too.
    """
    set_started(testbed, largest(held_needs(testbed), needs))


def set_started(testbed: Testbed, needs: Iterable[GuestNeed]) -> None:
    """Count these guests and no others: what an Up or Down has proven."""
    testbed.started = rows_of(needs)
    Testbed.objects.filter(pk=testbed.pk).update(started=testbed.started)


def needs_in(state: State) -> tuple[GuestNeed, ...]:
    """Return the needs of a state's guests."""
    return tuple(
        GuestNeed(guest.name, guest.host, Taken(guest.cpus, guest.memory_mib))
        for guest in state.guests
    )


def rows_of(needs: Iterable[GuestNeed]) -> list[Row]:
    """Return needs as a row of the database has them."""
    return [(n.name, n.host, n.need.cpus, n.need.memory_mib) for n in needs]


def needs_of_rows(rows: Iterable[Row]) -> tuple[GuestNeed, ...]:
    """Return needs from what a row of the database has of them."""
    return tuple(
        GuestNeed(name, host, Taken(cpus, memory_mib))
        for name, host, cpus, memory_mib in rows
    )


def largest(*parts: Iterable[GuestNeed]) -> tuple[GuestNeed, ...]:
    """Return the guests of all parts; of one that is in two the larger amounts."""
    found: dict[tuple[str, str], GuestNeed] = {}
    for one in (one for part in parts for one in part):
        place = (one.name, one.host)
        other = found.get(place, one)
        found[place] = GuestNeed(
            *place,
            Taken(
                max(one.need.cpus, other.need.cpus),
                max(one.need.memory_mib, other.need.memory_mib),
            ),
        )
    return tuple(found.values())


def by_host(needs: Iterable[GuestNeed]) -> dict[str, Taken]:
    """Sum the needs of each host."""
    sums: dict[str, list[int]] = {}  # there may be thousands of guests
    for one in needs:
        total = sums.setdefault(one.host, [0, 0])
        total[0] += one.need.cpus
        total[1] += one.need.memory_mib
    return {host: Taken(*total) for host, total in sums.items()}


def added_to_hosts(
    wanted: Iterable[GuestNeed], held: Iterable[GuestNeed]
) -> dict[str, Taken]:
    """Return what guests need on each host beyond those that are held there."""
    before, found = by_host(held), {}
    for host, need in by_host(wanted).items():
        old = before.get(host, Taken())
        cpus, memory_mib = need.cpus - old.cpus, need.memory_mib - old.memory_mib
        if cpus > 0 or memory_mib > 0:
            found[host] = Taken(max(0, cpus), max(0, memory_mib))
    return found


def rest_of_hosts(
    found: Iterable[Counted], hosts: Iterable[Host] | None = None
) -> dict[str, Taken]:
    """Return what each host may have besides the guests that run or are being started.

    A size that is not known counts as unbounded. A testbed whose Up waits counts as it
    was before. `hosts` are all hosts, where they were asked before.
    """
    used = by_host(need for one in found for need in one.held)
    rest = {}
    for host in Host.objects.all() if hosts is None else hosts:
        cpus = host.most_vcpus or UNBOUNDED
        memory_mib = host.most_memory_mib or UNBOUNDED
        taken = used.get(host.name, Taken())
        rest[host.name] = Taken(cpus - taken.cpus, memory_mib - taken.memory_mib)
    return rest
