"""The guests' MTU follows the underlay of the hosts that a testbed uses."""

import pytest

from orchestration.state.model import HostNetwork, HostState, State
from orchestration.state.mtu import mtu_of, shrunk
from tests.orchestration.state.samples import HOSTS, build, machine, spec_of

TWO = spec_of(
    machine("left", "br0"),
    machine("right", "br1"),
    bridges=("br0", "br1"),
    joined={"br0": "br1"},
)
ONE = spec_of(machine("left", "br0"))


def hosts(*underlay: int, ipv6: bool = False) -> list[HostState]:
    return [
        host.model_copy(
            update={
                "tunnel_mtu": mtu,
                **({"tunnel_address": f"2001:db8::{mtu}"} if ipv6 else {}),
            }
        )
        for host, mtu in zip(HOSTS, underlay, strict=False)
    ]


def mtus(state: State) -> set[int]:
    assert state.network.nat is not None
    guests = {i.mtu for guest in state.guests for i in guest.interfaces}
    return {*guests, state.network.nat.mtu}


@pytest.mark.parametrize(
    ("underlay", "mtu"),
    [
        ((1500, 1500), 1450),
        ((0, 0), 1450),
        ((1500, 1450), 1400),
        ((1460, 9000), 1410),
        ((9000, 9000), 8950),
        ((65536, 9000), 8950),
        ((9000, 0), 1450),
    ],
)
def test_guests_of_two_hosts_get_the_narrowest_underlay_less_the_tunnel(
    underlay: tuple[int, int], mtu: int
) -> None:
    assert mtus(build(TWO, hosts=hosts(*underlay))) == {mtu}


def test_tunnel_to_an_ipv6_address_takes_twenty_bytes_more() -> None:
    assert mtus(build(TWO, hosts=hosts(1500, 1499, ipv6=True))) == {1429}


@pytest.mark.parametrize(("underlay", "mtu"), [(0, 1450), (1400, 1350), (9000, 8950)])
def test_guests_of_one_host_leave_room_for_their_first_tunnel(
    underlay: int, mtu: int
) -> None:
    assert mtus(build(ONE, hosts=hosts(underlay))) == {mtu}


def test_host_that_the_testbed_does_not_use_narrows_nothing() -> None:
    assert mtus(build(ONE, hosts=hosts(9000, 1400))) == {8950}


def test_underlay_that_shrank_is_named_with_what_guests_need() -> None:
    state = build(TWO, hosts=hosts(1500, 1500))
    narrow = HostNetwork(tunnel_device="eth1", tunnel_mtu=1400)

    message, hint = shrunk(state, "host-b", narrow)

    assert mtu_of(state) == 1450
    assert message.startswith("eth1 of host-b carries packets of 1400 bytes")
    assert "MTU of 1450 needs 1500" in message
    assert "check_hosts" in hint


@pytest.mark.parametrize("mtu", [1500, 9000, 0])
def test_underlay_that_carries_the_guests_or_is_not_known_is_fine(mtu: int) -> None:
    state = build(TWO, hosts=hosts(1500, 1500))

    assert shrunk(state, "host-b", HostNetwork(tunnel_mtu=mtu)) == ("", "")


def test_underlay_matters_only_where_a_tunnel_ends() -> None:
    state = build(ONE, hosts=hosts(1500))

    assert shrunk(state, "host-a", HostNetwork(tunnel_mtu=1280)) == ("", "")


def test_guests_that_run_keep_a_smaller_mtu() -> None:
    assert mtus(build(ONE, hosts=hosts(9000), most_mtu=1450)) == {1450}
    assert mtus(build(TWO, hosts=hosts(1400, 1400), most_mtu=1450)) == {1350}
