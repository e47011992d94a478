"""Ranges that a host uses itself and testbeds need, named before anything is lost."""

import pytest

from orchestration.compose.pools import Pools
from orchestration.errors import StateError
from orchestration.state.model import Claim, ClaimKind, HostNetwork, State
from orchestration.state.overlaps import pool_overlaps, require_free_subnets
from tests.orchestration.state.samples import build, machine, spec_of

# The testbed's own: 10.64.112.0/20 on host-a, 100.64.112.0/20 on both hosts.
SPEC = spec_of(machine("a", "br0"), machine("b", "br1"), bridges=("br0", "br1"))


def network(kind: ClaimKind, found: str, by: str) -> HostNetwork:
    return HostNetwork(claims=(Claim(kind=kind, range=found, by=by),))


@pytest.fixture
def state() -> State:
    return build(SPEC)


@pytest.mark.parametrize(
    ("host", "text"),
    [
        (
            network(ClaimKind.FILTER, "100.64.0.0/10", "ts-input"),
            (
                "its firewall (ts-input) drops 100.64.0.0/10, but 100.64.0.0/10 is the "
                "range by which guests are managed"
            ),
        ),
        (
            network(ClaimKind.ROUTE, "100.64.0.0/10", "tailscale0"),
            (
                "tailscale0 leads to 100.64.0.0/10, but 100.64.0.0/10 is the range by "
                "which guests are managed"
            ),
        ),
        (
            network(ClaimKind.ADDRESS, "10.65.1.2/16", "eth0"),
            (
                "eth0 has the address 10.65.1.2/16, but 10.64.0.0/10 is the range in which "
                "guests get addresses"
            ),
        ),
    ],
)
def test_addresses_of_a_host_within_the_pools_are_named(
    host: HostNetwork, text: str
) -> None:
    assert pool_overlaps(host, Pools(), is_main=True) == [text]


def test_range_of_the_way_out_matters_on_main_only() -> None:
    host = network(ClaimKind.ADDRESS, "10.65.1.2/16", "eth0")

    assert pool_overlaps(host, Pools(), is_main=False) == []


def test_vpn_with_a_route_to_each_member_is_named_once() -> None:
    routes = tuple(
        Claim(kind=ClaimKind.ROUTE, range=f"100.100.1.{n}", by="tailscale0")
        for n in range(9)
    )

    (text,) = pool_overlaps(HostNetwork(claims=routes), Pools(), is_main=False)

    assert "tailscale0 leads to 100.100.1.0," in text


@pytest.mark.parametrize(
    ("host", "claim"),
    [
        ("host-b", network(ClaimKind.FILTER, "100.64.0.0/10", "ts-input")),
        ("host-a", network(ClaimKind.ADDRESS, "10.64.112.9/24", "eth0")),
        ("host-b", network(ClaimKind.ROUTE, "100.64.112.0/24", "wg0")),
    ],
)
def test_testbed_whose_guests_could_not_be_reached_is_refused(
    state: State, host: str, claim: HostNetwork
) -> None:
    with pytest.raises(StateError, match=f"On host {host} ") as caught:
        require_free_subnets(state, {host: claim})

    assert claim.claims[0].by in caught.value.message
    assert "TESTBED_MANAGEMENT_POOL" in caught.value.hint


@pytest.mark.parametrize(
    ("host", "claim"),
    [
        ("host-a", network(ClaimKind.ROUTE, "10.0.0.0/8", "vpn0")),
        ("host-b", network(ClaimKind.ADDRESS, "10.64.112.9/24", "eth0")),
        ("host-a", network(ClaimKind.ADDRESS, "10.64.0.9/24", "eth0")),
        ("host-z", network(ClaimKind.FILTER, "0.0.0.0/0", "INPUT")),
    ],
    ids=["wider route", "not main", "another testbed's", "unused host"],
)
def test_overlap_outside_the_testbed_is_no_obstacle(
    state: State, host: str, claim: HostNetwork
) -> None:
    require_free_subnets(state, {host: claim})
