"""Corrects testbeds' conditions by a look at the hosts: `up` only when complete.

A lab has a thousand testbeds, and each look is at all of them: the database
is asked for all at once. `observation` calls it with its results.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from django.db.models import OuterRef, Subquery

from orchestration.errors import StateError
from orchestration.plan.model import Command
from orchestration.providers.libvirt.facts.domains import DomainStatus
from testbed.hosts.inventory import Shares, known_missing, save_missing
from testbed.hosts.power import requested_statuses
from testbed.models import ObservedGuest, Run, Testbed
from testbed.models.testbeds import TestbedQuerySet
from testbed.orphans.detection import Held, speaks_for

_UP = Testbed.Condition.UP
_PARTIAL = Testbed.Condition.PARTIAL


@dataclass(frozen=True, slots=True)
class Look:
    """The results of a look: things by host and testbed, and what should be there.

    `firewalls` has the digest of each guarded host's ruleset, `held` each testbed's
    things on the hosts, without folders.
    """

    shares: Shares = field(default_factory=lambda: Shares({}))
    firewalls: Mapping[str, str] = field(default_factory=dict)
    held: Mapping[str, Iterable[Held]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Known:
    """One testbed, as the database and the look know it.

    `command` and `ended` are the last command that changed it, and that run's status.
    """

    statuses: Mapping[str, str]
    held: Iterable[Held]
    is_missing_parts: bool
    command: str
    ended: str


def save_conditions(testbeds: TestbedQuerySet, look: Look) -> None:
    """Save the missing parts of these testbeds, and their conditions where they differ.

    A condition that a run has changed meanwhile stays, and so does that of a testbed that
    `testbeds` leaves out by now, as when a run has begun.
    """
    rows = list(testbeds.only("slug", "condition"))
    # The same for each question: a testbed without answers would be partial.
    same = Testbed.objects.filter(pk__in=[row.pk for row in rows])
    statuses, runs = _statuses(same), _last_runs(same)
    missing = known_missing(same)
    for row in rows:
        known = _Known(
            statuses.get(row.pk, {}),
            look.held.get(row.slug, ()),
            save_missing(row, missing.get(row.pk, []), look.shares, look.firewalls),
            *runs.get(row.pk, ("", "")),
        )
        condition = _condition(row, known)
        if condition != row.condition:
            unchanged = testbeds.filter(pk=row.pk, condition=row.condition)
            unchanged.update(condition=condition)


def _statuses(testbeds: TestbedQuerySet) -> dict[int, dict[str, str]]:
    """Return the status of each guest that was seen, by testbed."""
    found: dict[int, dict[str, str]] = {}
    guests = ObservedGuest.objects.filter(testbed__in=testbeds.order_by().values("pk"))
    for testbed, name, status in guests.values_list("testbed_id", "name", "status"):
        found.setdefault(testbed, {})[name] = status
    return found


def _last_runs(testbeds: TestbedQuerySet) -> dict[int, tuple[str, str]]:
    """Return the last command that changed each testbed, and how it ended."""
    last = Run.objects.deciding().filter(testbed=OuterRef("pk")).values("pk")[:1]
    numbers = testbeds.order_by().values_list(Subquery(last))
    runs = Run.objects.filter(pk__in=numbers).order_by()
    rows = runs.values_list("testbed_id", "command", "status")
    return {testbed: (command, status) for testbed, command, status in rows}


def _condition(testbed: Testbed, known: _Known) -> str:
    conditions = Testbed.Condition
    if testbed.condition not in Testbed.DEPLOYED:
        is_left = known.statuses or speaks_for(testbed, known.held)
        return _PARTIAL if is_left else testbed.condition
    if (known.command, known.ended) == (Command.UP, Run.Status.SUCCEEDED):
        is_whole = not known.is_missing_parts and _all_run(testbed, known.statuses)
        return _UP if is_whole else _PARTIAL
    is_over = known.ended in ("", Run.Status.SUCCEEDED)
    if known.statuses or not is_over or speaks_for(testbed, known.held):
        return _PARTIAL
    if known.command == Command.DOWN:
        return conditions.DOWN
    return conditions.GENERATED if testbed.project.has_state() else conditions.EMPTY


def _all_run(testbed: Testbed, statuses: Mapping[str, str]) -> bool:
    """Return whether each guest runs, or is as a user's power command left it."""
    try:
        wanted = len(testbed.project.read_state().guests)
    except StateError:
        return False
    others = {n: s for n, s in statuses.items() if s != DomainStatus.RUNNING}
    is_complete = len(statuses) == wanted
    if is_complete and others:
        return others.items() <= requested_statuses(testbed).items()
    return is_complete
