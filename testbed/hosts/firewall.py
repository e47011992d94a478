"""The policy of the hosts' firewalls: all hosts as they are now, and the settings.

A testbed's state holds its hosts as they were when it was built. The firewall is the
host's, so that all testbeds want the same one. Up makes it; where a host was added or a
setting changed since, each look at the hosts renews it.
"""

import logging
from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Network

from django.conf import settings

from orchestration.errors import TestbedError
from orchestration.instructions.hosts import guard
from orchestration.providers.linux.firewall import Firewall
from orchestration.providers.linux.ruleset import (
    Policy,
    Ruleset,
    build_ruleset,
    policy_of,
)
from orchestration.state.model import ClaimKind
from orchestration.transport.base import Scope, Transport
from testbed.models import Host

logger = logging.getLogger(__name__)
# A host that claims more than this is not in a network of its own.
_WIDEST = 8


def current_policy() -> Policy:
    """Return the policy of this installation."""
    rows = list(Host.objects.all())
    return replace(
        policy_of(row.to_state() for row in rows),
        pools=settings.ADDRESS_POOLS,
        subnets=frozenset(_subnets(rows)),
        allowed=settings.ALLOWED_NETWORKS,
        unguarded=frozenset(row.name for row in rows if not row.has_firewall),
    )


def wanted_firewalls() -> dict[str, Ruleset]:
    """Return the ruleset that each guarded host should have."""
    ruleset = build_ruleset(current_policy())
    guarded = Host.objects.filter(has_firewall=True).values_list("name", flat=True)
    return dict.fromkeys(guarded, ruleset)


def renewed(
    transport: Transport,
    found: Firewall | None,
    wanted: Ruleset | None,
    *,
    scope: Scope,
) -> Firewall | None:
    """Return a host's firewall after an older one was replaced by the wanted one.

    One that is gone, or that another program changed, stays as it was found: Up makes it
    again. So does an older one that cannot be replaced now; the next look tries again.
    """
    if found is None or wanted is None or not found.is_intact:
        return found
    if found.digest == wanted.digest:
        return found
    try:
        guard(transport, wanted, scope=scope)
    except TestbedError as exc:
        logger.warning("the firewall of %s stays: %s", transport.machine, exc.sentence)
        return found
    return Firewall(wanted.digest, is_intact=True)


def _subnets(rows: Iterable[Host]) -> Iterator[IPv4Network]:
    """Yield the networks that the hosts have addresses in, as they were last seen."""
    for row in rows:
        for claim in row.own_network.claims:
            subnet = IPv4Network(claim.range, strict=False)
            if claim.kind is ClaimKind.ADDRESS and subnet.prefixlen >= _WIDEST:
                yield subnet
