"""Observes every host once and saves the state of its guests and its load.

It is the only source of guest states, loads and conditions on the pages: no page
request talks to a host. One look per host covers everything of ours on it; hosts are asked
in parallel, so that a dead one delays no other. Older firewalls are renewed after the
looks. Guests and load are saved here, bridges, networks and the rest in `inventory`,
samples of all loads in `samples/`.
"""

import logging
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import datetime
from math import nan

from celery import shared_task
from django.conf import settings
from django.db.models import Q
from django.utils import timezone

from orchestration.hosts import HostFacts, Hosts, examine
from orchestration.inventory import things
from orchestration.inventory.snapshots import GuestSnapshots
from orchestration.inventory.things import Inventory
from orchestration.locks import held_if_free
from orchestration.providers.libvirt.snapshots.listing import Owner
from orchestration.providers.linux.ruleset import Ruleset
from orchestration.state.model import HostNetwork
from orchestration.transport.base import Scope
from testbed.hosts.checks import (
    has_old_network,
    look_at_network,
    remark_of,
    resolve,
    versions_of,
)
from testbed.hosts.conditions import Look, save_conditions
from testbed.hosts.firewall import renewed, wanted_firewalls
from testbed.hosts.guests import GuestsOfHost, save_guests
from testbed.hosts.inventory import Shares, save_inventories, seen_since
from testbed.hosts.snapshots import (
    SnapshotsOfHost,
    known_snapshots,
    look_at_snapshots,
    save_snapshots,
)
from testbed.models import Host, Run, Testbed
from testbed.orphans.detection import (
    Observation,
    last_observations,
    things_there,
)
from testbed.samples.figures import HostFigures
from testbed.samples.recording import record
from testbed.worker import ASKED_AT_ONCE, ErrorsTold, kept_hosts

logger = logging.getLogger(__name__)
# Saving takes a fraction of a second.
_TURN_S = 10.0


@dataclass(frozen=True, slots=True)
class HostObservation:
    """The result of observing one host, or the reason why there is none.

    `read_at` is when its guests' counts were read.
    """

    host: Host
    read_at: datetime
    inventory: Inventory = field(default_factory=Inventory)
    facts: HostFacts | None = None
    network: HostNetwork | None = None
    snapshots: tuple[GuestSnapshots, ...] = ()
    problem: str = ""


def observe_all(hosts: Hosts) -> None:
    """Observe every host and save the results; a silent host keeps its guests' rows."""
    rows, began = list(Host.objects.all()), timezone.now()
    known = known_snapshots()

    def look(row: Host) -> HostObservation:
        return _observe(row, hosts, known.get(row.name, {}))

    def renew(seen: HostObservation) -> HostObservation:
        return _renew(seen, hosts, firewalls.get(seen.host.name))

    with ThreadPoolExecutor(ASKED_AT_ONCE) as pool:
        observations = list(pool.map(look, rows))
        # Read after the looks: a slow one would put an older policy back.
        firewalls = wanted_firewalls()
        observations = list(pool.map(renew, observations))
    lock = settings.RUNTIME_DIR / "observe.lock"
    with held_if_free(lock, wait_s=_TURN_S) as is_in_turn:
        if is_in_turn:
            _save(_newest(observations, began), began, firewalls)
        else:
            logger.warning(
                "another observer held the lock for %d s: not saved", _TURN_S
            )


def _newest(
    observations: list[HostObservation], began: datetime
) -> list[HostObservation]:
    """Leave out looks that are older than a saved one: a host may be slow."""
    known = seen_since(began)
    return [
        observation
        for observation in observations
        if observation.host.name not in known
    ]


def _save(
    observations: list[HostObservation],
    began: datetime,
    firewalls: Mapping[str, Ruleset],
) -> None:
    now = timezone.now()
    for observation in observations:
        _save_host(observation, now)
    answered = [
        observation for observation in observations if observation.facts is not None
    ]
    save_inventories(((seen.host, seen.inventory) for seen in answered), began)
    guests = save_guests(
        GuestsOfHost(seen.host.name, seen.inventory, seen.read_at) for seen in answered
    )
    save_snapshots(
        SnapshotsOfHost(seen.host.name, seen.snapshots, seen.read_at)
        for seen in answered
    )
    figures = {
        seen.host.pk: _host_figures(seen.host, seen.facts)
        for seen in observations
        if seen.facts is not None
    }
    record(guests, figures, now)
    silent = {seen.host.name for seen in observations if seen.facts is None}
    _save_time(silent, began)
    look = Look(
        Shares({seen.host.name: seen.inventory for seen in answered}),
        {host: ruleset.digest for host, ruleset in firewalls.items()},
        things_there(_things(answered, began)),
    )
    # A look from before a run's end says nothing about the testbed after it.
    changing = Run.objects.changing().begun()
    ended = Run.objects.begun().filter(is_exclusive=True, ended_at__gt=began)
    idle = Testbed.objects.exclude(pk__in=changing.values("testbed"))
    save_conditions(idle.exclude(pk__in=ended.values("testbed")), look)


def _things(
    answered: Iterable[HostObservation], began: datetime
) -> Iterator[Observation]:
    """Yield the things on all hosts: of those that did not answer, from their rows."""
    names = set[str]()
    for seen in answered:
        names.add(seen.host.name)
        yield Observation(seen.host.name, seen.inventory.things, began)
    yield from last_observations(besides=names)


def _save_time(silent: set[str], began: datetime) -> None:
    """Save when the testbeds' facts were read, also of those with a run.

    A testbed with things on a host that did not answer keeps its older time. A time in
    the future is from before the clock was set back.
    """
    kept = {
        thing.testbed
        for seen in (last_observations() if silent else ())
        for thing in seen.things
        if seen.host in silent
    }
    older = Q(observed_at=None) | Q(observed_at__lt=began)
    older |= Q(observed_at__gt=timezone.now())
    Testbed.objects.exclude(slug__in=kept).filter(older).update(observed_at=began)


def _observe(row: Host, hosts: Hosts, known: Mapping[Owner, str]) -> HostObservation:
    problems: list[str] = []
    with ErrorsTold(f"The look at {row.name}", problems.append):
        resolve(row)
        host = hosts.open(row.to_state())
        facts = examine(host, scope=Scope())
        is_due = has_old_network(row)
        network = look_at_network(row, host) if is_due else None
        read_at = timezone.now()
        seen = things.observe(host, scope=Scope())
        snapshots = look_at_snapshots(host, known)
        return HostObservation(row, read_at, seen, facts, network, snapshots)
    return HostObservation(row, timezone.now(), problem=problems[0])


def _renew(
    seen: HostObservation, hosts: Hosts, wanted: Ruleset | None
) -> HostObservation:
    """Renew the firewall of a host that answered, and return the look with it."""
    if seen.facts is None:
        return seen
    with ErrorsTold(f"The firewall of {seen.host.name}", logger.warning):
        transport = hosts.open(seen.host.to_state()).transport
        found = renewed(transport, seen.inventory.firewall, wanted, scope=Scope())
        return replace(seen, inventory=replace(seen.inventory, firewall=found))
    return seen


def _save_host(observation: HostObservation, now: datetime) -> None:
    changes: dict[str, object] = {"problem": observation.problem, "checked_at": now}
    if observation.network is not None:
        observation.host.network = observation.network.model_dump(mode="json")
        changes |= {"network": observation.host.network, "network_seen_at": now}
        changes["resolved_address"] = observation.host.resolved_address
    if observation.facts is not None:
        changes |= {
            "remark": remark_of(observation.host, observation.facts),
            "versions": versions_of(observation.facts),
            "load": observation.facts.load,
            "free_memory_mib": observation.facts.free_memory_mib,
            "cpus": observation.facts.cpus,
            "memory_mib": observation.facts.memory_mib,
            "cpu_busy_s": observation.facts.cpu_busy_s,
            "cpu_total_s": observation.facts.cpu_total_s,
            "cpu_percent": _cpu_percent(observation.host, observation.facts),
            "disk_bytes": observation.facts.disk_bytes,
            "disk_free_bytes": observation.facts.disk_free_bytes,
        }
        if not observation.host.cpus:  # added in the admin, and observed the first time
            changes |= {
                "domain_type": observation.facts.domain_type,
                "datapath": observation.facts.datapath,
            }
    # What was seen of a host that was edited meanwhile may be of another machine.
    row = observation.host
    Host.objects.filter(pk=row.pk, version=row.version).update(**changes)


def _host_figures(row: Host, facts: HostFacts) -> HostFigures:
    known_cpu = _cpu_percent(row, facts)
    used_bytes = facts.disk_bytes - facts.disk_free_bytes
    return HostFigures(
        cpu_percent=nan if known_cpu is None else known_cpu,
        load=facts.load,
        memory_bytes=(facts.memory_mib - facts.free_memory_mib) << 20,
        disk_bytes=used_bytes if facts.disk_bytes else nan,
    )


def _cpu_percent(row: Host, facts: HostFacts) -> float | None:
    """Return the busy share of all CPUs since the last look; None after a boot."""
    busy_s = facts.cpu_busy_s - row.cpu_busy_s
    total_s = facts.cpu_total_s - row.cpu_total_s
    if not row.cpu_total_s or total_s <= 0 or busy_s < 0:
        return None
    return round(min(100.0, 100.0 * busy_s / total_s), 1)


@shared_task(name="testbed.tasks.observe.observe", ignore_result=True)
def observe() -> None:
    """Observe once; overlapping calls are harmless, late ones expire in the queue."""
    observe_all(kept_hosts())
