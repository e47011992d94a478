"""Decides whose turn it is in the queue of runs. Pure.

Each account's first run comes before the second of any other, and of these the oldest is
first; a run that could not begin with free hosts either is not counted. The hosts that a
run waits for are kept for it at first: no later run takes their rest, so that a large
testbed starts although small ones come all the time. Runs that wait for others of their
own account, or for a reservation of others to end, keep no host; and none is kept from
guests for which it is reserved. `queue` reads the rows and starts what may start.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from orchestration.amounts import count_of, mib
from orchestration.state.placement import Taken
from testbed.access.limits import AccountKey
from testbed.reservations.held import (
    Held,
    beyond,
    is_within,
    kept_for,
    kept_from,
    use_up,
)
from testbed.reservations.moments import in_words


@dataclass(frozen=True, slots=True)
class Waiting:
    """A run that waits, with what it adds to its hosts.

    `account` is a key and never shown: not all who see a run may know its group.
    `owner` and `group` are the testbed's, for reservations. `held_up` is a reason of its own; without `keeps` others may pass it on its hosts.
    """

    run: int
    account: AccountKey
    adds: Mapping[str, Taken] = field(default_factory=dict)
    held_up: str = ""
    keeps: bool = True
    owner: int = 0
    group: int | None = None


@dataclass(frozen=True, slots=True)
class Rest:
    """Places that are left to accounts, and of hosts; one not named is unbounded.

    `held` are the current reservations, with what is left of each.
    """

    runs: Mapping[AccountKey, int]
    hosts: Mapping[str, Taken]
    held: tuple[Held, ...] = ()


@dataclass(frozen=True, slots=True)
class Turn:
    """A run's place in the queue from 1 on, and why it waits; '' when it may start."""

    run: int
    place: int
    total: int
    obstacle: str


def in_order(waiting: Iterable[Waiting]) -> list[Waiting]:
    """Return the runs in the order of their turns."""
    ranks: Counter[AccountKey] = Counter()
    ordered: list[tuple[int, int, Waiting]] = []
    for one in sorted(waiting, key=lambda one: one.run):
        ordered.append((ranks[one.account], one.run, one))
        ranks[one.account] += not one.held_up
    return [one for *_, one in sorted(ordered, key=lambda entry: entry[:2])]


def turns(waiting: Iterable[Waiting], rest: Rest) -> list[Turn]:
    """Return each run's turn, in order; those that may start take their part at once."""
    runs, hosts, held = dict(rest.runs), dict(rest.hosts), rest.held
    kept: set[str] = set()
    found, ordered = [], in_order(waiting)
    for place, one in enumerate(ordered, 1):
        obstacle = one.held_up or _of_account(one, runs)
        obstacle = obstacle or _of_reservations(one, hosts, held)
        if not obstacle:
            obstacle = _of_hosts(one, hosts, kept - _reserved_for(one, held))
            if not obstacle:
                _take(one, runs, hosts)
                held = use_up(held, one.owner, one.group, one.adds)
            elif one.keeps:
                kept |= one.adds.keys()
        found.append(Turn(one.run, place, len(ordered), obstacle))
    return found


def _of_account(one: Waiting, runs: Mapping[AccountKey, int]) -> str:
    if runs.get(one.account, 0) > 0:
        return ""
    return (
        "Other runs of its account have to end first: the quota allows no more at once."
    )


def _of_reservations(
    one: Waiting, hosts: Mapping[str, Taken], held: Iterable[Held]
) -> str:
    """Say which reservation of others a run waits for, where all else has room."""
    reserved = kept_from(held, one.owner, one.group)
    for name, need in sorted(one.adds.items()):
        if name not in hosts or name not in reserved:
            continue
        left = beyond(hosts[name], reserved[name])
        words = _lacking(need, left)
        if words and not _lacking(need, hosts[name]):
            until = max(
                other.ends_at
                for other in held
                if other.host == name and not other.is_for(one.owner, one.group)
            )
            return (
                f"It needs {words} on {name}, beside what is reserved there for other "
                f"users until {in_words(until)}. It begins when that ends or is "
                "cancelled."
            )
    return ""


def _reserved_for(one: Waiting, held: Iterable[Held]) -> set[str]:
    """Return the hosts on which a run adds no more than is reserved for its guests."""
    own = kept_for(held, one.owner, one.group)
    return {
        name
        for name, need in one.adds.items()
        if name in own and is_within(need, own[name])
    }


def _of_hosts(one: Waiting, hosts: Mapping[str, Taken], kept: set[str]) -> str:
    lacking = [
        f"{words} on {name}"
        for name, need in sorted(one.adds.items())
        if name in hosts and (words := _lacking(need, hosts[name]))
    ]
    if lacking:
        return f"It needs {'; '.join(lacking)}. Other testbeds there have to go down first."
    if names := sorted(kept & one.adds.keys()):
        return f"A run that came before needs {', '.join(names)}, too."
    return ""


def _lacking(need: Taken, left: Taken) -> str:
    words = []
    if need.cpus > max(0, left.cpus):
        words.append(f"{need.cpus} of {count_of(max(0, left.cpus), 'vCPU')} left")
    if need.memory_mib > max(0, left.memory_mib):
        of = mib(max(0, left.memory_mib))
        words.append(f"{mib(need.memory_mib)} of {of} of memory left")
    return " and ".join(words)


def _take(one: Waiting, runs: dict[AccountKey, int], hosts: dict[str, Taken]) -> None:
    runs[one.account] -= 1
    for name, need in one.adds.items():
        if name in hosts:
            left = hosts[name]
            hosts[name] = Taken(
                left.cpus - need.cpus, left.memory_mib - need.memory_mib
            )
