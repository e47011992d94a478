"""The addresses that a guest prints."""

import pytest

from orchestration.providers.guest.addresses import parse_addresses, read_addresses
from orchestration.transport.base import Scope
from tests.fakes import FakeTransport

IPROUTE2 = r"""1: lo    inet 127.0.0.1/8 scope host lo\       valid_lft forever
2: eth0    inet 10.64.16.16/20 metric 100 brd 10.64.31.255 scope global dynamic eth0
2: eth0    inet6 fe80::5054:ff:fe12:3456/64 scope link \       valid_lft forever
5: eth1@if4    inet 10.9.0.2 peer 10.9.0.1/32 scope global eth1
"""
BUSYBOX = r"""1: lo: <LOOPBACK,UP,LOWER_UP> mtu 65536 qdisc noqueue \    link/loopback 00:00
1: lo    inet 127.0.0.1/8 scope host lo\       valid_lft forever preferred_lft forever
2: eth0    inet 10.64.16.16/20 scope global eth0\       valid_lft forever
"""


@pytest.mark.parametrize("text", [IPROUTE2, BUSYBOX], ids=["iproute2", "busybox"])
def test_addresses_are_read_by_interface(text: str) -> None:
    found = parse_addresses(text)

    assert found["lo"] == ("127.0.0.1",)
    assert found["eth0"][0] == "10.64.16.16"


def test_interface_has_several_addresses_and_a_peer() -> None:
    found = parse_addresses(IPROUTE2)

    assert found["eth0"] == ("10.64.16.16", "fe80::5054:ff:fe12:3456")
    assert found["eth1"] == ("10.9.0.2",)


def test_guest_without_ip_has_no_known_address() -> None:
    there = FakeTransport("a", [("ip -o address show", 127)])

    assert read_addresses(there, scope=Scope()) == {}
