"""Saves the guests that a look found on the hosts, and returns the load of each.

`observation` calls it. A load is the difference of two looks' counts; it is not known
at the first look, and where a count fell because the guest started anew. Guests' names
for their taps are those of the testbeds' states.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from math import nan
from typing import NamedTuple, NotRequired, TypedDict

from orchestration.errors import StateError
from orchestration.inventory.things import Inventory
from orchestration.providers.libvirt.facts.domains import DomainFacts
from orchestration.providers.linux.ip_link import Link
from testbed.models import ObservedGuest, Testbed
from testbed.samples.figures import GuestFigures

COUNTS = ("disk_read_bytes", "disk_written_bytes", "received_bytes", "sent_bytes")
Taps = Mapping[str, tuple[str, ...]]


class Counts(TypedDict):
    """The counts of an interface; a tap that is made anew has another index."""

    index: int
    received: dict[str, int]
    sent: dict[str, int]
    rate: NotRequired[dict[str, float]]


class GuestsOfHost(NamedTuple):
    """The findings of one look at one host, and their time."""

    host: str
    inventory: Inventory
    read_at: datetime


def save_guests(looks: Iterable[GuestsOfHost]) -> dict[int, dict[str, GuestFigures]]:
    """Save the guests, and return the figures of the active ones by testbed and name.

    A guest that is gone loses its row; rows of hosts without a look stay.
    """
    looks = list(looks)
    testbeds = {row.slug: row for row in Testbed.objects.only("slug")}
    taps: dict[int, Taps] = {}
    old = {
        (row.testbed_id, row.name): row
        for row in ObservedGuest.objects.filter(host__in=[look.host for look in looks])
    }
    seen: dict[tuple[int, str], ObservedGuest] = {}
    figures: dict[int, dict[str, GuestFigures]] = {}
    for look in looks:
        for domain in look.inventory.domains:
            if (testbed := testbeds.get(domain.testbed)) is None:
                continue
            key = (testbed.pk, domain.guest)
            if testbed.pk not in taps:
                taps[testbed.pk] = _taps(testbed)
            links = _links(taps[testbed.pk].get(domain.guest, ()), look.inventory)
            row = _row(key, domain, links, look)
            load = _figures(row, domain, old.get(key))
            _compare(row, load, old.get(key))
            _add_rates(row, old.get(key))
            seen[key] = row
            if domain.is_active:
                figures.setdefault(testbed.pk, {})[domain.guest] = load
    _save(seen.values())
    gone = [row.pk for key, row in old.items() if key not in seen]
    ObservedGuest.objects.filter(pk__in=gone).delete()
    return figures


def _save(rows: Iterable[ObservedGuest]) -> None:
    ObservedGuest.objects.bulk_create(
        rows,
        update_conflicts=True,
        unique_fields=["testbed", "name"],
        update_fields=[
            "host",
            "status",
            "cpu_percent",
            "cpu_time_ns",
            "memory_mib",
            *COUNTS,
            "interfaces",
            "observed_at",
            "observed_since",
        ],
    )


def _taps(testbed: Testbed) -> Taps:
    """Return the taps of each guest; the state is read anew only when it changed."""
    try:
        state = testbed.project.read_state()
    except StateError:
        return {}
    found = {}
    for guest in state.guests:
        own = () if guest.management is None else (guest.management.tap,)
        found[guest.name] = (*(one.tap for one in guest.interfaces), *own)
    return found


def _links(taps: Iterable[str], inventory: Inventory) -> list[Link]:
    return [inventory.links[tap] for tap in taps if tap in inventory.links]


def _row(
    key: tuple[int, str],
    domain: DomainFacts,
    links: list[Link],
    look: GuestsOfHost,
) -> ObservedGuest:
    # A guest receives what its tap sends.
    return ObservedGuest(
        testbed_id=key[0],
        name=key[1],
        host=look.host,
        status=domain.status,
        cpu_time_ns=domain.cpu_time_ns,
        memory_mib=domain.used_memory_mib or domain.memory_mib,
        disk_read_bytes=domain.disk_read_bytes,
        disk_written_bytes=domain.disk_written_bytes,
        received_bytes=sum(link.sent_bytes for link in links) if links else None,
        sent_bytes=sum(link.received_bytes for link in links) if links else None,
        interfaces={link.name: _counts(link) for link in links},
        observed_at=look.read_at,
        observed_since=look.read_at,
    )


def _counts(link: Link) -> Counts:
    """Return what a guest's interface carried, as the guest sees it."""
    return {
        "index": link.index,
        "received": {
            "bytes": link.sent_bytes,
            "packets": link.sent_packets,
            "dropped": link.sent_dropped,
        },
        "sent": {
            "bytes": link.received_bytes,
            "packets": link.received_packets,
            "dropped": link.received_dropped,
        },
    }


def _figures(
    row: ObservedGuest, domain: DomainFacts, old: ObservedGuest | None
) -> GuestFigures:
    elapsed_s = (row.observed_at - old.observed_at).total_seconds() if old else 0.0

    def rate(count: str) -> float:
        new, former = getattr(row, count), getattr(old, count, None)
        if new is None or former is None or elapsed_s <= 0 or new < former:
            return nan
        return float((new - former) / elapsed_s)

    busy = nan
    if old is not None and old.cpu_time_ns and domain.vcpus:
        # In this order: the first stays where the second is not smaller, also NaN.
        busy = min(rate("cpu_time_ns") / domain.vcpus / 1e7, 100.0)
    return GuestFigures(busy, row.memory_mib << 20, *map(rate, COUNTS))


def _compare(row: ObservedGuest, load: GuestFigures, old: ObservedGuest | None) -> None:
    """Add what follows from the row of the look before."""
    if load.cpu_percent == load.cpu_percent:  # a number
        row.cpu_percent = round(load.cpu_percent, 1)
    if old is not None and (old.status, old.host) == (row.status, row.host):
        row.observed_since = old.observed_since or row.observed_since


def _add_rates(row: ObservedGuest, old: ObservedGuest | None) -> None:
    """Add to each tap's counts their growth per second since the look before.

    There is none for a tap that was made anew meanwhile.
    """
    if old is None or old.host != row.host:
        return
    over_s = (row.observed_at - old.observed_at).total_seconds()
    for tap, counts in row.interfaces.items():
        former = old.interfaces.get(tap, {})
        if over_s <= 0 or former.get("index") != counts["index"]:
            continue
        grown = {
            way: counts[way]["bytes"] - former[way]["bytes"]
            for way in ("received", "sent")
        }
        if min(grown.values()) >= 0:
            rate = {way: round(count / over_s, 1) for way, count in grown.items()}
            counts["rate"] = rate | {"over_s": over_s}
