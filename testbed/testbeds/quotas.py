"""Compares guests, vCPUs and memory with the quota of their account, and with hosts.

Called for each plan that starts guests, before its state is written, and by the pages
that show what Up needs. A testbed counts from the moment an Up of it is asked for until
Down: also its guests that a user turned off, so that starting them is never refused.
Plans are compared one at a time, so that two of them never take the same rest.
"""

from collections.abc import Collection, Iterable

from orchestration.amounts import count_of, mib
from orchestration.errors import TestbedError
from orchestration.state.model import State
from orchestration.state.placement import Taken
from testbed.access.limits import (
    Account,
    Use,
    account_of,
    charged_to,
    limits_of,
    name_of,
    require_membership,
    require_use,
)
from testbed.models import Host, Run, Testbed
from testbed.testbeds.capacity import (
    COMING_UP,
    DEPLOYED,
    GuestNeed,
    by_host,
    held_needs,
    needs_in,
    needs_of,
    wait_for_other_plans,
)


class HostTooSmall(TestbedError):
    """A host cannot have a testbed's guests, even without all others."""


def require_quota(
    testbed: Testbed, state: State, names: Collection[str] | None = None
) -> None:
    """Let Up start the guests of a state, or those with these names.

    In a transaction other plans wait until its end. Raises: LimitReached, HostTooSmall.
    """
    held = held_needs(testbed)
    running = {one.name for one in held}
    wanted = tuple(
        one
        for one in needs_in(state)
        if names is None or one.name in names or one.name in running
    )
    wait_for_other_plans()
    require_needs(testbed, wanted, held)


def require_needs(
    testbed: Testbed, wanted: Collection[GuestNeed], held: Collection[GuestNeed]
) -> None:
    """Let guests run in place of those that are held. Raises: as `require_quota`."""
    account, more = account_of(testbed), use_in(wanted).where_above(use_in(held))
    if more != Use():
        require_membership(testbed)
    others = used_by(account, but=testbed)
    require_use(account, more, others=others, what=f"Up of {testbed}")
    _require_hosts(testbed, wanted, held)


def require_quota_of(testbed: Testbed, account: Account) -> None:
    """Let another account be charged for what a testbed uses. Raises: LimitReached."""
    if Testbed.objects.filter(DEPLOYED, pk=testbed.pk).exists():
        mine = use_in(needs_of(testbed, is_whole=False))
        others = used_by(account, but=testbed)
        require_use(account, mine, others=others, what=f"Testbed {testbed}")


def lowered_for(
    testbed: Testbed, wanted: Collection[GuestNeed], held: Collection[GuestNeed]
) -> str:
    """Say why guests of a waiting run are above a quota that was lowered since; or ''."""
    account, more = account_of(testbed), use_in(wanted).where_above(use_in(held))
    others = used_by(account, but=testbed, with_waiting=False)
    left = limits_of(account).use - others
    if more.where_above(left) == Use():
        return ""
    return f"The quota of {name_of(account)} was lowered, and has not enough left."


def used_by(
    account: Account, *, but: Testbed | None = None, with_waiting: bool = True
) -> Use:
    """Return what the testbeds of an account use, also those whose Up waits.

    Without these, they count with the guests that run already.
    """
    found = charged_to(account).filter(DEPLOYED | COMING_UP).distinct()
    if but is not None:
        found = found.exclude(pk=but.pk)
    coming = set(found.filter(COMING_UP).values_list("pk", flat=True))
    runs = Run.objects.none() if with_waiting else Run.objects.waiting()
    waiting = set(runs.values_list("testbed", flat=True))
    uses = (
        use_in(
            held_needs(one)
            if one.pk in waiting
            else needs_of(one, is_whole=one.pk in coming)
        )
        for one in found
    )
    return sum(uses, Use())


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


def _require_hosts(
    testbed: Testbed, wanted: Iterable[GuestNeed], held: Iterable[GuestNeed]
) -> None:
    """Refuse what no waiting helps: more than a host may have without all others."""
    needs, before = by_host(wanted), by_host(held)
    problems = [
        problem
        for host in Host.objects.filter(name__in=needs).order_by("name")
        if (problem := _too_much(host, needs[host.name], before.get(host.name)))
    ]
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
