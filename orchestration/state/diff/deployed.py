"""The union of two states: everything that may exist during an unfinished change.

A failed `up` of an edited YAML leaves objects of both states. The union records them:
for removing, for taking down, and for planning the next change. A guest can be in it
once per host. A guest whose settings differ has an empty spec hash, which no wanted
guest has, so that it always counts as changed. If only its interfaces differ, the union
records that instead, so that the guest need not restart.
"""

from collections.abc import Iterable
from typing import TypeVar

from orchestration.state.diff.interfaces import (
    UNFINISHED_LIVE,
    differ_in_interfaces_only,
)
from orchestration.state.model import GuestState, NetworkState, State

Thing = TypeVar("Thing")


def union(older: State, newer: State) -> State:
    """Return all objects of both; of two with the same identity the older one."""
    return newer.model_copy(
        update={
            "hosts": _merged(newer.hosts, older.hosts, "name"),
            "network": _networks(older.network, newer.network),
            "guests": tuple(_guests(older, newer)),
        }
    )


def _networks(older: NetworkState, newer: NetworkState) -> NetworkState:
    return NetworkState(
        bridges=_merged(older.bridges, newer.bridges, "host", "device"),
        patches=tuple(dict.fromkeys((*older.patches, *newer.patches))),
        tunnels=tuple(dict.fromkeys((*older.tunnels, *newer.tunnels))),
        nat=older.nat or newer.nat,
        management=_merged(older.management, newer.management, "host", "network"),
        cards=tuple(dict.fromkeys((*older.cards, *newer.cards))),
    )


def _guests(older: State, newer: State) -> Iterable[GuestState]:
    places = {(guest.name, guest.host): guest for guest in newer.guests}
    for guest in older.guests:
        other = places.pop((guest.name, guest.host), None)
        if other is not None and other.spec_hash != guest.spec_hash:
            hosts = older.host(guest.host), newer.host(other.host)
            is_small = differ_in_interfaces_only(guest, other, *hosts)
            found = UNFINISHED_LIVE if is_small else ""
            yield guest.model_copy(update={"spec_hash": found})
        else:
            yield guest
    yield from places.values()


def _merged(
    first: Iterable[Thing], second: Iterable[Thing], *fields: str
) -> tuple[Thing, ...]:
    """Return both, the first one of those that agree in these fields."""
    found: dict[tuple[object, ...], Thing] = {}
    for thing in (*first, *second):
        found.setdefault(tuple(getattr(thing, field) for field in fields), thing)
    return tuple(found.values())
