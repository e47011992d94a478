"""Finds the host on which a wish fits beside all other reservations, or says why none."""

from collections.abc import Collection

from orchestration.amounts import count_of
from orchestration.state.placement import Taken
from testbed.models import Host, Reservation
from testbed.reservations.bounds import LATEST
from testbed.reservations.moments import in_words, period
from testbed.reservations.timeline import Claim, fits, most, next_gap
from testbed.reservations.wishes import (
    ReservationRefused,
    Wish,
    amount,
    claims_of,
    whole_of,
)

MOST_OF_A_HOST = 200
# A refusal of any host tells of so many.
HOSTS_SAID = 5


def host_for(wish: Wish, but: Reservation | None = None) -> Host:
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
    if (more := len(said) - HOSTS_SAID) > 0:
        said[HOSTS_SAID:] = [f"{count_of(more, 'other host')} cannot have it, either"]
    return ReservationRefused(
        f"{wish.words} is too much for {period(wish.begins_at, wish.ends_at)}: "
        f"{'; '.join(said)}.",
        hint=hint,
    )
