"""A fixed address is judged by the networks that the testbed and its hosts have."""

from ipaddress import IPv4Network

import pytest

from orchestration.compose.check import check
from orchestration.compose.pools import Ranges
from orchestration.state.model import HostState
from tests.orchestration.compose.fakes import FakeFiles, catalogue_with_test_guest

YAML = """\
machines:
  - name: web
    interfaces: [{%s}]
    libvirt: {cpus: 1, memory_mb: 64, libvirt_type: {cloud_image: {name: test_guest}}}
  - name: gate
    interfaces: [{bridge: br0}, {bridge: lone, ip: 10.9.0.1}]
    libvirt: {cpus: 1, memory_mb: 64, libvirt_type: {cloud_image: {name: test_guest}}}
network:
  bridges: [{name: br0}, {name: near}, {name: lone}]
  bridge_connections: {near: br0}
  external_bridge: br0
"""
OWN = Ranges(nat_subnet=IPv4Network("10.64.32.0/20"))
HOSTS = (HostState(name="main", is_main=True, address="192.0.2.10"),)


def said(interface: str, ranges: Ranges = OWN, yaml: str = YAML) -> list[str]:
    loaded = check(
        yaml % interface,
        files=FakeFiles(),
        catalogue=catalogue_with_test_guest(),
        hosts=HOSTS,
        ranges=ranges,
    )
    return [f"{f.severity}: {f.message}" for f in loaded.findings]


@pytest.mark.parametrize(
    ("interface", "words"),
    [
        ("bridge: br0, ip: 10.64.32.1", "error: `10.64.32.1` is the main host's own"),
        ("bridge: br0, ip: 10.64.32.0", "error: `10.64.32.0` is the subnet's own"),
        ("bridge: br0, ip: 10.64.47.255", "error: `10.64.47.255` is the broadcast"),
        ("bridge: near, ip: 10.64.48.9", "error: `10.64.48.9` belongs to another"),
        (
            "bridge: br0, ip: 192.0.2.10",
            "error: `192.0.2.10` is the address of testbed",
        ),
        ("bridge: lone, ip: 100.64.0.9", "error: `100.64.0.9` belongs to the managem"),
        (
            "bridge: near, ip: 10.1.0.5",
            "warning: With this address the guest has no gateway",
        ),
        ("bridge: lone, ip: 10.9.0.5, gateway: 10.9.0.2", "warning: Nothing in this"),
        (
            "bridge: lone, ip: 10.9.0.5, gateway: 10.9.1.1",
            "error: The gateway `10.9.1.",
        ),
        ("bridge: lone, ip: 240.0.0.1", "error: `240.0.0.1` is a reserved address"),
    ],
)
def test_address_that_does_not_work_is_named(interface: str, words: str) -> None:
    (sentence,) = said(interface)

    assert sentence.startswith(words)


@pytest.mark.parametrize(
    "interface",
    [
        "bridge: br0, ip: 10.64.33.0",
        "bridge: br0, ip: 10.64.33.5, gateway: 10.64.32.1",
        "bridge: lone, ip: 10.64.48.9",
        "bridge: lone, ip: 192.0.2.10",
        "bridge: lone, ip: 10.9.0.5, gateway: 10.9.0.1",
        "bridge: near, ip: 10.9.0.6}, {bridge: br0",
    ],
)
def test_address_that_works_is_fine(interface: str) -> None:
    assert said(interface) == []


def test_subnets_are_not_judged_before_the_testbed_has_a_number() -> None:
    assert said("bridge: br0, ip: 10.64.33.0", Ranges()) == []
    assert said("bridge: br0, ip: 10.64.3.5, gateway: 10.64.0.1", Ranges()) == []


def test_management_pool_is_free_without_a_management_network() -> None:
    yaml = YAML + "testbed_options: {management_network: false}\n"
    interface = "bridge: br0}, {bridge: lone, ip: 100.64.0.9"

    assert said(interface, yaml=yaml) == []


@pytest.mark.parametrize("ip", ["192.0.2.50", "10.64.48.9", "10.9.0.7"])
def test_login_at_an_address_of_others_is_refused(ip: str) -> None:
    yaml = YAML + "testbed_options: {management_network: false}\n"

    (sentence,) = said(f"bridge: lone, ip: {ip}", yaml=yaml)

    assert sentence.startswith(
        f"error: The testbed would log in to guest web at `{ip}`, which is not in"
    )


@pytest.mark.parametrize(
    "interface",
    [
        "bridge: br0, ip: 10.64.33.5",
        "bridge: near}, {bridge: lone, ip: 10.9.0.7",
        "bridge: lone}, {bridge: br0",
    ],
)
def test_login_at_an_address_of_the_testbed_is_fine(interface: str) -> None:
    yaml = YAML + "testbed_options: {management_network: false}\n"

    assert said(interface, yaml=yaml) == []
