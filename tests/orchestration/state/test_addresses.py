"""Addresses, MACs and DNS names."""

from ipaddress import IPv4Network

import pytest

from orchestration.errors import StateError
from orchestration.state.addresses import (
    assign_addresses,
    assign_macs,
    dns_names,
    static_prefix,
)

SUBNET = IPv4Network("10.64.0.0/20")
SMALL = IPv4Network("192.0.2.0/27")  # .16 to .30 are for guests


def test_addresses_are_counted_from_sixteen_around_static_ones() -> None:
    assigned = assign_addresses(
        SUBNET,
        [("a", "eth0"), ("b", "eth0"), ("c", "eth0")],
        kept={},
        static={("s", "eth0"): "10.64.0.17"},
    )

    assert list(assigned.values()) == ["10.64.0.16", "10.64.0.18", "10.64.0.19"]


def test_interface_keeps_its_address_and_others_go_around() -> None:
    assigned = assign_addresses(
        SUBNET,
        [("new", "eth0"), ("old", "eth0")],
        kept={("old", "eth0"): "10.64.0.16", ("gone", "eth0"): "10.64.0.17"},
        static={},
    )

    assert assigned == {("new", "eth0"): "10.64.0.18", ("old", "eth0"): "10.64.0.16"}


def test_address_that_somebody_had_is_given_away_last() -> None:
    cards = [(f"g{index}", "eth0") for index in range(15)]
    kept = {("gone", "eth0"): "192.0.2.17", ("far", "eth0"): "10.9.0.17"}

    assigned = assign_addresses(SMALL, cards, kept=kept, static={})

    assert len(set(assigned.values())) == len(cards)
    assert assigned["g14", "eth0"] == "192.0.2.17"


@pytest.mark.parametrize(
    "kept",
    [
        pytest.param("10.64.0.20", id="somebody chose it"),
        pytest.param("10.80.0.16", id="another subnet"),
        pytest.param("10.64.0.2", id="not for guests"),
        pytest.param("10.64.15.255", id="broadcast"),
    ],
)
def test_address_that_no_longer_fits_is_given_up(kept: str) -> None:
    assigned = assign_addresses(
        SUBNET,
        [("a", "eth0")],
        kept={("a", "eth0"): kept},
        static={("s", "eth0"): "10.64.0.20"},
    )

    assert assigned == {("a", "eth0"): "10.64.0.16"}


def test_two_who_kept_the_same_address_do_not_share_it() -> None:
    cards = [("a", "mgmt0"), ("b", "mgmt0")]

    assigned = assign_addresses(
        SUBNET, cards, kept=dict.fromkeys(cards, "10.64.0.16"), static={}
    )

    assert list(assigned.values()) == ["10.64.0.16", "10.64.0.17"]


@pytest.mark.parametrize("address", ["10.64.0.1", "10.64.0.0", "10.64.15.255"])
def test_static_address_that_is_not_free_is_refused(address: str) -> None:
    with pytest.raises(StateError, match=f"eth0 of guest s wants {address}"):
        assign_addresses(SUBNET, [], kept={}, static={("s", "eth0"): address})


def test_two_static_addresses_that_are_the_same_are_refused() -> None:
    static = {("a", "eth0"): "10.64.0.9", ("b", "eth1"): "10.64.0.9"}

    with pytest.raises(StateError, match=r"eth1 of guest b .* belongs to guest a"):
        assign_addresses(SUBNET, [], kept={}, static=static)


def test_full_subnet_is_refused_and_the_last_address_is_used() -> None:
    cards = [(f"g{index}", "eth0") for index in range(15)]

    assigned = assign_addresses(SMALL, cards, kept={}, static={})

    assert assigned["g14", "eth0"] == "192.0.2.30"
    with pytest.raises(StateError, match="no address left") as caught:
        assign_addresses(SMALL, [*cards, ("more", "eth0")], kept={}, static={})
    assert "15 addresses" in caught.value.hint


def test_prefix_of_an_address_that_the_user_chose() -> None:
    assert static_prefix("10.64.3.4", SUBNET) == 20
    assert static_prefix("192.168.1.1", SUBNET) == 24
    assert static_prefix("fd00::1", SUBNET) == 64


def test_macs_are_derived_from_who_has_them() -> None:
    cards = {("a", "eth0"): None, ("a", "eth1"): None, ("b", "eth0"): None}

    macs = assign_macs("demo", cards)

    # The first four bytes of SHA-256 of "demo/a/eth0".
    assert macs["a", "eth0"] == "52:54:2b:fb:a3:8a"
    assert len(set(macs.values())) == 3
    assert assign_macs("demo", {("b", "eth0"): None}) == {
        ("b", "eth0"): macs["b", "eth0"]
    }
    assert assign_macs("other", cards)["a", "eth0"] != macs["a", "eth0"]


def test_derived_mac_makes_way_for_one_that_the_user_wrote() -> None:
    derived = assign_macs("demo", {("a", "eth0"): None})["a", "eth0"]

    macs = assign_macs("demo", {("a", "eth0"): None, ("z", "eth0"): derived})

    assert macs["z", "eth0"] == derived
    assert macs["a", "eth0"] != derived
    assert macs["a", "eth0"].startswith("52:54:")


def test_first_interface_has_the_names_of_its_guest() -> None:
    names = dns_names("demo", [("web", "eth1"), ("web", "eth2"), ("db", "eth0")])

    assert names == {
        ("web", "eth1"): ("demo-web", "web"),
        ("web", "eth2"): ("web-eth2",),
        ("db", "eth0"): ("demo-db", "db"),
    }


def test_name_that_two_guests_could_claim_is_given_once() -> None:
    cards = [
        ("a", "eth0"),
        ("a", "eth1"),
        ("a-eth1", "eth0"),
        ("demo-a", "eth0"),
    ]

    names = dns_names("demo", cards)

    assert names["a", "eth0"] == ("demo-a", "a")
    assert names["a", "eth1"] == ("a-eth1-2",)
    assert names["a-eth1", "eth0"] == ("demo-a-eth1", "a-eth1")
    assert names["demo-a", "eth0"] == ("demo-demo-a",)


@pytest.mark.parametrize("guest", ["10", "0x1f", "007"])
def test_guest_named_like_an_address_has_its_full_name_alone(guest: str) -> None:
    names = dns_names("demo", [(guest, "eth0"), (guest, "eth1")])

    assert names[guest, "eth0"] == (f"demo-{guest}",)
    assert names[guest, "eth1"] == (f"{guest}-eth1",)
