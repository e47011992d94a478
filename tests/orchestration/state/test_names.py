"""Names on hosts: short, and never two of the same."""

import pytest

from orchestration.errors import StateError
from orchestration.state.names import Names


@pytest.mark.parametrize("bridge", ["nat", "mgmt", "vn", "vb", "p0a", "v0", "g0i0"])
def test_no_bridge_of_a_user_is_mistaken_for_our_own_device(bridge: str) -> None:
    names = Names("demo", 12)

    ours = {
        names.nat_device,
        names.management_device,
        names.veth_network_end,
        names.veth_bridge_end,
        *names.patch_ports(0),
        names.tunnel_port(0),
        names.tap(0, 0),
        names.management_tap(0),
    }

    assert len(ours) == 9
    assert names.bridge(bridge) not in ours


def test_longest_names_fit_the_kernel() -> None:
    names = Names("demo", 1023)

    longest = (
        names.bridge("abcde"),
        names.tap(9999, 9),
        names.management_tap(9999),
        *names.patch_ports(8190),
        names.tunnel_port(8190),
    )

    assert max(len(name) for name in longest) <= 15


def test_bridge_name_that_does_not_fit_is_refused() -> None:
    assert Names("demo", 1023).bridge("123456789") == "t1023-123456789"

    with pytest.raises(StateError, match="too long"):
        Names("demo", 1023).bridge("1234567890")


@pytest.mark.parametrize("number", [-1, 1024])
def test_number_out_of_range_is_refused(number: int) -> None:
    with pytest.raises(StateError, match=f"number {number}") as caught:
        Names("demo", number)

    assert caught.value.hint


@pytest.mark.parametrize(
    ("one", "other"),
    [(("lab", "x-web"), ("lab-x", "web")), (("lab", "node-0"), ("lab-node", "0"))],
)
def test_machines_of_two_testbeds_never_share_a_name(
    one: tuple[str, str], other: tuple[str, str]
) -> None:
    first, second = Names(one[0], 1), Names(other[0], 2)

    assert first.hostname(one[1]) == second.hostname(other[1])
    assert first.domain(one[1]) != second.domain(other[1])
    assert first.nat_network != second.nat_network
    assert first.management_network != second.management_network
