"""The policy of the hosts' firewalls: all hosts as they are now, and the settings.

A testbed's state holds its hosts as they were when it was built. The firewall is the
host's, so that all testbeds want the same one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from ipaddress import IPv4Network

from django.conf import settings

from orchestration.providers.linux.ruleset import Policy, build_ruleset, policy_of
from orchestration.state.model import ClaimKind
from testbed.models import Host

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


def wanted_firewalls() -> dict[str, str]:
    """Return the digest of the ruleset that each guarded host should have."""
    digest = build_ruleset(current_policy()).digest
    guarded = Host.objects.filter(has_firewall=True).values_list("name", flat=True)
    return dict.fromkeys(guarded, digest)


def _subnets(rows: Iterable[Host]) -> Iterator[IPv4Network]:
    """Yield the networks that the hosts have addresses in, as they were last seen."""
    for row in rows:
        for claim in row.own_network.claims:
            subnet = IPv4Network(claim.range, strict=False)
            if claim.kind is ClaimKind.ADDRESS and subnet.prefixlen >= _WIDEST:
                yield subnet
