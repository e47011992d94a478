"""The ranges of testbeds' subnets: counted by number, and chosen by an installation."""

from ipaddress import IPv4Network

import pytest

from orchestration.compose.pools import Pools
from orchestration.errors import StateError
from orchestration.state.addresses import host_address
from orchestration.state.build import Site
from tests.orchestration.state.samples import build, machine, spec_of

SMALL = Pools(IPv4Network("10.200.0.0/16"), IPv4Network("172.20.0.0/18"))


def test_number_counts_the_subnets_of_each_pool() -> None:
    pools = Pools()

    assert str(pools.nat_subnet(0)) == "10.64.0.0/20"
    assert str(pools.nat_subnet(1)) == "10.64.16.0/20"
    assert str(pools.nat_subnet(1023)) == "10.127.240.0/20"
    assert str(pools.management_subnet(1023)) == "100.127.240.0/20"
    assert host_address(pools.nat_subnet(1)) == "10.64.16.1"
    assert pools.size == 1024


def test_smaller_pool_says_how_many_testbeds_fit() -> None:
    assert SMALL.size == 4
    assert str(SMALL.nat_subnet(15)) == "10.200.240.0/20"

    with pytest.raises(StateError, match=r"172\.20\.0\.0/18 has 4 subnets.*number 4"):
        SMALL.management_subnet(4)


def test_all_addresses_of_a_testbed_come_from_the_chosen_pools() -> None:
    spec = spec_of(machine("a", "br0"))

    state = build(spec, number=2, site=Site(pools=SMALL))

    guest = state.guest("a")
    assert guest.management is not None
    assert state.network.nat is not None
    assert state.network.nat.subnet == "10.200.32.0/20"
    assert guest.interfaces[0].address == "10.200.32.16"
    assert guest.management.address == "172.20.32.16"
    assert [m.subnet for m in state.network.management] == ["172.20.32.0/20"]
    assert guest.interfaces[0].gateway == "10.200.32.1"
