"""Decides which hosts get new guests of a testbed while reservations are current. Pure."""

from collections.abc import Collection, Iterable, Mapping

from orchestration.state.placement import Taken
from testbed.reservations.held import (
    Held,
    beyond,
    is_within,
    kept_for,
    kept_from,
)


def closed_for(
    held: Iterable[Held],
    new: Collection[Taken],
    rest: Mapping[str, Taken],
    *,
    owner: int,
    group: int | None,
) -> frozenset[str]:
    """Return the hosts that get none of the new guests.

    `rest` is what running guests leave of each host that is not drained. Where each new
    guest fits into a reservation of the holder's beside the others, their hosts alone get
    them. Otherwise
    hosts on which other reservations leave too little for the largest one are left out,
    unless they are all: then the run waits for the reservations.
    """
    held = tuple(held)
    mine = kept_for(held, owner, group)
    own = {host: kept for host, kept in mine.items() if host in rest}
    if new and own and fits_into(new, own.values()):
        return frozenset(rest.keys() - own.keys())
    largest = Taken(
        max((need.cpus for need in new), default=0),
        max((need.memory_mib for need in new), default=0),
    )
    kept = kept_from(held, owner, group)
    full = {
        host
        for host in kept.keys() & rest.keys()
        if not is_within(largest, beyond(rest[host], kept[host]))
    }
    return frozenset() if full >= rest.keys() else frozenset(full)


def fits_into(needs: Iterable[Taken], places: Iterable[Taken]) -> bool:
    """Return whether each guest gets a place, the largest one first.

    A guest is on one host: two places with one vCPU each hold no guest of two.
    """
    left = list(places)
    for need in sorted(needs, key=lambda n: (n.cpus, n.memory_mib), reverse=True):
        number = next((n for n, one in enumerate(left) if is_within(need, one)), None)
        if number is None:
            return False
        left[number] = beyond(left[number], need)
    return True
