"""Compares guests, vCPUs and memory with the quota of their account, and with hosts.

Called for each plan that starts guests, before its state is written, and by the pages
that show what Up needs. A testbed counts from the moment an Up of it is asked for until
Down: also its guests that a user turned off, so that no quota refuses their start.
Plans are compared one at a time, so that two of them never take the same rest.
"""

from collections.abc import Collection, Iterable

from orchestration.amounts import count_of, mib
from orchestration.errors import TestbedError
from orchestration.plan.power import PAUSED, RUNNING
from orchestration.state.model import State
from orchestration.state.placement import Taken
from orchestration.state.selection import fold
from testbed.access.limits import (
    Account,
    Limits,
    Use,
    account_of,
    charged_to,
    key_of,
    limits_of,
    require_membership,
    require_runs,
    require_use,
)
from testbed.models import Host, Testbed
from testbed.models.hosts import wait_for_other_plans
from testbed.testbeds.capacity import (
    Counted,
    GuestNeed,
    Lab,
    by_host,
    counted,
    held_needs,
    needs_in,
)

# The statuses of guests that need no start, in libvirt's words.
ON = (RUNNING, PAUSED, "blocked")


class HostTooSmall(TestbedError):
    """A host cannot have a testbed's guests, even without all others."""


class HostDrained(TestbedError):
    """A lab admin drained a host, and a guest would be started there."""


def require_quota(testbed: Testbed, wanted: Collection[GuestNeed]) -> None:
    """Let Up start guests, in place of those that run.

    In a transaction other plans wait until its end. Raises: LimitReached, HostTooSmall,
    HostDrained.
    """
    wait_for_other_plans()
    require_needs(testbed, wanted, held_needs(testbed), Lab())


def needs_after(
    testbed: Testbed, state: State, names: Collection[str] | None = None
) -> tuple[GuestNeed, ...]:
    """Return what runs after Up of a state, or of its guests with these names."""
    running = {one.name for one in held_needs(testbed)}
    return tuple(
        one
        for one in needs_in(state)
        if names is None or one.name in names or one.name in running
    )


def require_needs(
    testbed: Testbed,
    wanted: Collection[GuestNeed],
    held: Collection[GuestNeed],
    lab: Lab,
) -> None:
    """Let guests run in place of those that are held. Raises: as `require_quota`."""
    account, more = account_of(testbed), use_in(wanted).where_above(use_in(held))
    if more != Use():
        require_membership(testbed)
    limits, what = lab.limits_of([key_of(account)])[key_of(account)], f"Up of {testbed}"
    others = used_by_others(testbed, lab.counted)
    require_use(account, more, limits=limits, others=others, what=what)
    require_runs(account, limits)
    _require_open_hosts(what, lab.hosts, wanted, held)
    _require_hosts(testbed, lab.hosts, wanted, held)


def require_quota_of(testbed: Testbed, account: Account) -> None:
    """Let another account be charged for what a testbed uses. Raises: LimitReached."""
    if (mine := use_in(held_needs(testbed))) != Use():
        limits, others = limits_of(account), used_by(account, but=testbed)
        what = f"Testbed {testbed}"
        require_use(account, mine, limits=limits, others=others, what=what)


def used_by(account: Account, *, but: Testbed | None = None) -> Use:
    """Return what the testbeds of an account use, also those whose Up waits."""
    charged = charged_to(account)
    if but is not None:
        charged = charged.exclude(pk=but.pk)
    return sum((use_in(one.whole) for one in counted(charged)), Use())


def used_by_others(testbed: Testbed, found: Iterable[Counted]) -> Use:
    """Return what the other testbeds of its account use, also those whose Up waits.

    `found` is what `counted` returned for all testbeds.
    """
    account = key_of(account_of(testbed))
    others = (
        use_in(one.whole)
        for one in found
        if one.account == account and one.testbed != testbed.pk
    )
    return sum(others, Use())


def is_above_quota(one: Counted, found: Iterable[Counted], limits: Limits) -> bool:
    """Return whether a waiting run is above a quota that was lowered since.

    Other runs that wait are not counted.
    """
    more = use_in(one.wanted).where_above(use_in(one.held))
    if more == Use():
        return False
    others = (
        use_in(other.held)
        for other in found
        if other.account == one.account and other.testbed != one.testbed
    )
    return more.where_above(limits.use - sum(others, Use())) != Use()


def use_in(needs: Iterable[GuestNeed]) -> Use:
    """Return what guests use; one that moves between hosts counts once."""
    largest: dict[str, Taken] = {}
    for one in needs:
        before = largest.get(one.name, Taken())
        largest[one.name] = Taken(
            max(before.cpus, one.need.cpus), max(before.memory_mib, one.need.memory_mib)
        )
    total = sum(largest.values(), Taken())
    return Use(len(largest), total.cpus, total.memory_mib)


def too_small(
    hosts: Iterable[Host], wanted: Iterable[GuestNeed], held: Iterable[GuestNeed]
) -> list[str]:
    """Return which hosts can never have the guests: `4 of 3 vCPUs on host-b`."""
    needs, before = by_host(wanted), by_host(held)
    return [
        problem
        for host in hosts
        if host.name in needs
        and (problem := _too_much(host, needs[host.name], before.get(host.name)))
    ]


def drained_hosts(
    hosts: Iterable[Host], wanted: Iterable[GuestNeed], held: Iterable[GuestNeed]
) -> dict[Host, list[str]]:
    """Return the drained hosts on which guests would be started, and these guests."""
    before = {(one.name, one.host) for one in held}
    found: dict[Host, list[str]] = {}
    drained = {host.name: host for host in hosts if host.drained_at}
    for one in wanted:
        if one.host in drained and (one.name, one.host) not in before:
            found.setdefault(drained[one.host], []).append(one.name)
    return found


def _require_open_hosts(
    what: str,
    hosts: Iterable[Host],
    wanted: Iterable[GuestNeed],
    held: Iterable[GuestNeed] = (),
) -> None:
    """Let guests be started where they are to be, but for those that are held there.

    `what` is the sentence's subject, such as `Up of lab`. Raises: HostDrained.
    """
    found = drained_hosts(hosts, wanted, held)
    if not found:
        return
    places = "; ".join(
        f"{host.drained_words}, and {fold(names)} would be started there"
        for host, names in found.items()
    )
    raise HostDrained(
        f"{what} is refused. {places}.",
        hint="Wait until a lab admin takes the host out of the drain. A guest without "
        "a disk there, after Delete disks and artefacts, is started on another host.",
    )


def require_starts(testbed: Testbed, names: Collection[str], verb: str) -> None:
    """Let guests of a testbed that is up be started, but for those that were seen on.

    Raises: HostDrained.
    """
    seen = testbed.observed_guests.filter(status__in=ON)
    wanted = {*names}.difference(seen.values_list("name", flat=True))
    needs = needs_in(testbed.project.read_state())
    wait_for_other_plans()
    started = [need for need in needs if need.name in wanted]
    drained = Host.objects.filter(drained_at__isnull=False)
    _require_open_hosts(f"{verb} in {testbed}", drained, started)


def _require_hosts(
    testbed: Testbed,
    hosts: Iterable[Host],
    wanted: Iterable[GuestNeed],
    held: Iterable[GuestNeed],
) -> None:
    """Refuse what no waiting helps: more than a host may have without all others."""
    problems = too_small(hosts, wanted, held)
    if problems:
        raise HostTooSmall(
            f"Up of {testbed} needs more than its hosts may have: "
            f"{'; '.join(problems)}.",
            hint="Use fewer or smaller guests, or `load_balancing: Balanced`, or ask your "
            "lab's admin for a larger overcommit factor of the host.",
        )


def _too_much(host: Host, need: Taken, held: Taken | None) -> str:
    held, words = held or Taken(), []
    if held.cpus < need.cpus > host.most_vcpus > 0:
        words.append(f"{need.cpus} of {count_of(host.most_vcpus, 'vCPU')}")
    if held.memory_mib < need.memory_mib > host.most_memory_mib > 0:
        words.append(f"{mib(need.memory_mib)} of {mib(host.most_memory_mib)} of memory")
    return f"{' and '.join(words)} on {host.name}" if words else ""
