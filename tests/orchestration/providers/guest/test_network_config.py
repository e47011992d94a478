"""The network configuration for cloud-init: addresses, and one default route.

The management interface is there as well. What else a guest reads is in
test_cloud_init.py.
"""

import json

from orchestration.providers.guest import cloud_init
from orchestration.state.model import InterfaceState, ManagementInterface
from tests.orchestration.providers.guest.cloud_guest import guest


def interface(name, **changes):
    values = {"name": name, "bridge": "br0", "device": "d1br0", "tap": f"t{name}"}
    values |= {"mac": "52:54:00:AB:CD:01", "mtu": 1442, "dhcp": False}
    return InterfaceState(**(values | changes))


def network(state):
    return json.loads(cloud_init.build_network_config(state))["ethernets"]


def test_static_interface_has_address_and_the_one_default_route():
    first = interface("e0", address="10.1.0.5", prefix=16, gateway="10.1.0.1")
    second = interface("e1", address="10.2.0.5", prefix=24, gateway="10.2.0.1")

    nets = network(guest(first, second))

    assert nets["e0"] == {
        "match": {"macaddress": "52:54:00:ab:cd:01"},
        "set-name": "e0",
        "dhcp4": False,
        "dhcp6": False,
        "mtu": 1442,
        "addresses": ["10.1.0.5/16"],
        "routes": [{"to": "0.0.0.0/0", "via": "10.1.0.1"}],
    }
    assert nets["e1"]["addresses"] == ["10.2.0.5/24"]
    assert "routes" not in nets["e1"]


def test_fixed_address_gets_its_name_server():
    fixed = interface("e0", address="10.64.16.50", prefix=20, name_server="10.64.16.1")

    nets = network(guest(fixed, interface("e1", address="10.2.0.5", prefix=24)))

    assert nets["e0"]["nameservers"] == {"addresses": ["10.64.16.1"]}
    assert "nameservers" not in nets["e1"]


def test_only_one_interface_takes_its_route_from_dhcp():
    nets = network(
        guest(
            interface("e0", dhcp=True, address="10.0.0.9", prefix=24),
            interface("e1", dhcp=True),
        )
    )

    assert "dhcp4-overrides" not in nets["e0"]
    assert nets["e1"]["dhcp4-overrides"] == {"use-routes": False}
    assert nets["e0"]["dhcp-identifier"] == "mac"
    assert "addresses" not in nets["e0"]
    assert ("optional" in nets["e0"], nets["e1"]["optional"]) == (False, True)


def test_gateway_beats_dhcp():
    nets = network(
        guest(
            interface("e0", dhcp=True),
            interface("e1", address="fd00::5", prefix=64, gateway="fd00::1"),
        )
    )

    assert nets["e0"]["dhcp4-overrides"] == {"use-routes": False}
    assert nets["e1"]["routes"] == [{"to": "::/0", "via": "fd00::1"}]


def test_management_is_static_without_gateway():
    management = ManagementInterface(
        name="mgmt0",
        network="demo-mgmt",
        tap="m0",
        mac="52:54:00:00:00:FF",
        address="172.20.0.9",
        prefix=24,
    )

    nets = network(guest(management=management))

    assert nets == {
        "mgmt0": {
            "match": {"macaddress": "52:54:00:00:00:ff"},
            "set-name": "mgmt0",
            "dhcp4": False,
            "dhcp6": False,
            "addresses": ["172.20.0.9/24"],
        }
    }
