"""Overlaps of a host's own ranges with those of testbeds, in a user's words.

The host check passes the whole pools, planning passes one testbed's subnets on the
hosts that it uses. Pure: the host's ranges were observed before (`HostNetwork`).
"""

from collections.abc import Iterable, Iterator
from ipaddress import IPv4Network

from orchestration.compose.pools import Pools
from orchestration.errors import StateError
from orchestration.state.model import Claim, ClaimKind, HostNetwork, State

HINT = (
    "Free the range on that host, or move the testbeds' with TESTBED_NAT_POOL or "
    "TESTBED_MANAGEMENT_POOL (docs/hosts.md)."
)
_AFTERWARDS = "Then check again with `manage.py check_hosts`."
_NAT, _MANAGEMENT = "in which guests get addresses", "by which guests are managed"
# One sentence for each kind and device; a VPN has a route to each of its members.
_WORDS = {
    ClaimKind.ADDRESS: "{by} has the address {range}",
    ClaimKind.ROUTE: "{by} leads to {range}",
    ClaimKind.FILTER: "its firewall ({by}) drops {range}",
}


def pool_overlaps(network: HostNetwork, pools: Pools, *, is_main: bool) -> list[str]:
    """Return a host's overlaps with the pools; NAT networks are on main only."""
    nat = [(pools.nat, _NAT)] if is_main else []
    ranges = [*nat, (pools.management, _MANAGEMENT)]
    return [text for pool, use in ranges for text in _overlaps(network, pool, use)]


def overlapping(network: HostNetwork, pools: Pools, *, is_main: bool) -> list[Claim]:
    """Return a host's own ranges that overlap the pools.

    A route that the kernel made for an address goes with that address.
    """
    taken = (pools.nat, pools.management) if is_main else (pools.management,)
    found = [c for c in network.claims if any(_range(c).overlaps(p) for p in taken)]
    own = {(c.by, _range(c)) for c in found if c.kind is ClaimKind.ADDRESS}
    made = [c.kind is ClaimKind.ROUTE and (c.by, _range(c)) in own for c in found]
    return [claim for claim, is_made in zip(found, made, strict=True) if not is_made]


def require_free_subnets(state: State, networks: dict[str, HostNetwork]) -> None:
    """Refuse a testbed whose guests would be unreachable. Raises: StateError.

    `networks` is by host. A wider route is no obstacle: the kernel prefers ours.
    """
    for host, subnet, use in _subnets(state):
        network = networks.get(host, HostNetwork())
        found = network.model_copy(
            update={"claims": tuple(c for c in network.claims if _binds(c, subnet))}
        )
        for text in _overlaps(found, subnet, use):
            raise StateError(f"On host {host} {text}.", hint=f"{HINT} {_AFTERWARDS}")


def _subnets(state: State) -> Iterator[tuple[str, IPv4Network, str]]:
    nat = state.network.nat
    if nat is not None:
        yield nat.host, IPv4Network(nat.subnet), _NAT
    for network in state.network.management:
        yield network.host, IPv4Network(network.subnet), _MANAGEMENT


def _binds(claim: Claim, subnet: IPv4Network) -> bool:
    is_route = claim.kind is ClaimKind.ROUTE
    return not is_route or _range(claim).prefixlen >= subnet.prefixlen


def _overlaps(network: HostNetwork, pool: IPv4Network, use: str) -> list[str]:
    claims = [claim for claim in network.claims if _range(claim).overlaps(pool)]
    return [
        f"{_WORDS[claim.kind].format(by=claim.by, range=claim.range)}, but {pool} is "
        f"the range {use}"
        for claim in _first_of_each(claims)
    ]


def _first_of_each(claims: Iterable[Claim]) -> Iterable[Claim]:
    return {(claim.kind, claim.by): claim for claim in reversed(list(claims))}.values()


def _range(claim: Claim) -> IPv4Network:
    return IPv4Network(claim.range, strict=False)
