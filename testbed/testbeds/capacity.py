"""Computes how much of the hosts is assigned to other testbeds, and how much is left.

For placing guests, for quotas, and for the page of an edit. Counted are the guests with
which an Up began until the testbed is down, and those of an Up that waits; not what was
observed: a busy minute must not move a guest between the page that was read and the click
on Up.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass

from django.db.models import Q, QuerySet

from orchestration.amounts import mib
from orchestration.plan.model import Command
from orchestration.state.diff.changes import HostNeed
from orchestration.state.model import State
from orchestration.state.placement import Taken
from testbed.access.limits import AccountKey, key_of_row
from testbed.models import Host, Run, Testbed
from testbed.reservations.held import Party, held_now, kept_from

Show = Callable[[int], str]
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


@dataclass(frozen=True, slots=True)
class Room:
    """A host's CPUs and memory assigned to guests after a change, in words."""

    name: str
    memory: str
    cpus: str


def counted(testbeds: QuerySet[Testbed] | None = None) -> list[Counted]:
    """Return the guests that count of each testbed that is up, or for which Up is asked.

    Of all, or of some. Two queries, and no file.
    """
    ups = Run.objects.active().filter(command__in=STARTS_GUESTS)
    starts = ups.values_list("testbed", "has_begun", "planned_start__needs")
    plans = {pk: (has_begun, needs) for pk, has_begun, needs in starts}
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


def rooms(needs: Iterable[HostNeed], taken: Mapping[str, Taken]) -> tuple[Room, ...]:
    """Describe the assigned part of each host before and after a change."""
    return tuple(_room(need, taken.get(need.name, Taken())) for need in needs)


def _room(need: HostNeed, others: Taken) -> Room:
    memory = (need.memory_mib_before, need.memory_mib)
    cpus = (need.cpus_before, need.cpus)
    return Room(
        need.name,
        _words(need.memory_mib_of_host, others.memory_mib, *memory, mib),
        _words(need.cpus_of_host, others.cpus, *cpus, str),
    )


def _words(total: int, others: int, before: int, after: int, show: Show) -> str:
    """Describe how much of a host is assigned after a change, and is now."""
    wanted, now = others + after, show(others + before)
    if not total:
        return f"{show(wanted)} assigned (now {now})"
    over = f", {show(wanted - total)} more than it has" if wanted > total else ""
    return f"{show(wanted)} of {show(total)} assigned{over} (now {now})"
