"""Edits and removes hosts, so that nothing of two admins or of a testbed is lost."""

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass

from django.db import transaction
from django.db.models import F

from orchestration.amounts import count_of
from orchestration.errors import TestbedError
from testbed.access.record import write
from testbed.celery import request_observation
from testbed.models import (
    Host,
    Inventory,
    ObservedGuest,
    PlannedStart,
    Reservation,
    Run,
    Testbed,
)
from testbed.models.hosts import wait_for_other_plans
from testbed.models.record.entries import HOSTS

# What an admin may change; a host keeps its name, which states and marks have.
FIELDS = (
    "address",
    "port",
    "user",
    "identity_file",
    "host_key",
    "tunnel_address",
    "projects_dir",
    "images_dir",
    "domain_type",
    "datapath",
    "compress_copies",
    "has_firewall",
    "vcpu_overcommit",
    "memory_overcommit",
)
SHOWN = 10


class HostInUse(TestbedError):
    """Something of a testbed is on the host, or will be."""


@dataclass(frozen=True, slots=True)
class Conflict:
    """A field that another admin changed meanwhile: what was saved, and was typed."""

    field: str
    saved: str
    typed: str


def save_edit(
    host: Host, typed: Mapping[str, object], seen: int, by: str
) -> list[Conflict]:
    """Save an edit of a host as it was at the version `seen`.

    When another one was saved since, nothing is saved, and the fields that differ from
    it are returned.
    """
    now = Host.objects.get(pk=host.pk)
    changed = [name for name in FIELDS if getattr(now, name) != typed[name]]
    if now.version == seen:
        values = {name: typed[name] for name in changed}
        if "address" in changed:  # tunnels end where the new name leads
            values["resolved_address"] = None
        # Observed for the old address, and looked at again at once.
        values["network_seen_at"] = None
        unedited = Host.objects.filter(pk=host.pk, version=seen)
        if unedited.update(**values, version=F("version") + 1):
            _record(host, changed, by)
            return []
        now.refresh_from_db()
        changed = [name for name in FIELDS if getattr(now, name) != typed[name]]
    return [
        Conflict(name, _in_words(getattr(now, name)), _in_words(typed[name]))
        for name in changed
    ]


def _in_words(value: object) -> str:
    if isinstance(value, bool):
        return "ticked" if value else "not ticked"
    return str("nothing" if value in (None, "") else value)


def _record(host: Host, changed: Collection[str], by: str) -> None:
    what = f"changed {', '.join(changed)}" if changed else "saved it unchanged"
    write(by, HOSTS, what, thing=f"host {host.name}")
    request_observation()


def things_on(host: Host) -> list[str]:
    """Return what of testbeds is on a host, as last seen and as planned, in words."""
    return [
        *_guests_on(host),
        *_testbeds_on(host),
        *_planned_on(host),
        *_left_on(host),
        *_reserved_on(host),
    ]


def remove_host(host: Host, by: str) -> None:
    """Remove a host that no testbed uses. Raises: HostInUse."""
    with transaction.atomic():
        wait_for_other_plans()  # none is made for it at the same time
        if host.is_main and Host.objects.exclude(pk=host.pk).exists():
            raise HostInUse(
                f"{host.name} is main, by which all other hosts are used.",
                hint="Remove the others first.",
            )
        if things := things_on(host):
            more = f" and {len(things) - SHOWN} more" if len(things) > SHOWN else ""
            raise HostInUse(
                f"{host.name} is in use: {'; '.join(things[:SHOWN])}{more}.",
                hint="Use Down, and then Delete disks and artefacts, of these testbeds, "
                "delete the orphans, and cancel the reservations.",
            )
        host.delete()
        write(by, HOSTS, "removed it", thing=f"host {host.name}")


def _guests_on(host: Host) -> Iterator[str]:
    guests = ObservedGuest.objects.filter(host=host.name).order_by(
        "testbed__name", "name"
    )
    for guest in guests.select_related("testbed__owner"):
        yield f"guest {guest.name} of {guest.testbed.full_name}"


def _testbeds_on(host: Host) -> Iterator[str]:
    """Yield the testbeds that are up and count guests there."""
    up = Testbed.objects.filter(condition__in=Testbed.DEPLOYED)
    for testbed in up.select_related("owner"):
        count = sum(place == host.name for _, place, *_ in testbed.started)
        if count:
            yield f"{testbed.full_name} is up with {count_of(count, 'guest')}"


def _planned_on(host: Host) -> Iterator[str]:
    """Yield the commands that are about to start guests there."""
    starts = PlannedStart.objects.filter(run__in=Run.objects.active())
    for start in starts.select_related("run__testbed__owner"):
        if any(place == host.name for _, place, *_ in start.needs or ()):
            testbed = start.run.testbed
            yield f"run {start.run_id} of {testbed.full_name}"


def _reserved_on(host: Host) -> Iterator[str]:
    """Yield the reservations that are current or to come."""
    for row in Reservation.objects.claiming().not_over().filter(host=host):
        yield f"{row} of {row.holder_name}"


def _left_on(host: Host) -> Iterator[str]:
    """Yield the names of testbeds with other things there, such as kept disks."""
    seen = Inventory.objects.filter(host=host).first()
    if seen is None:
        return
    counts: dict[str, int] = {}
    for thing in seen.things:
        key = str(thing.get("testbed") or "an unknown testbed")
        counts[key] = counts.get(key, 0) + 1
    known = Testbed.objects.filter(slug__in=counts).select_related("owner")
    names = {testbed.key: testbed.full_name for testbed in known}
    for key in sorted(counts):
        yield f"{count_of(counts[key], 'thing')} of {names.get(key, key)}"
