"""A controller is a literal address that belongs to no testbed host."""

import pytest

from orchestration.compose.check import check
from orchestration.compose.pools import Ranges
from orchestration.state.model import HostState
from tests.orchestration.compose.fakes import FakeFiles, catalogue_with_test_guest

YAML = """\
machines:
  - name: web
    interfaces: [{bridge: br0}]
    libvirt: {cpus: 1, memory_mb: 64, libvirt_type: {cloud_image: {name: test_guest}}}
network:
  bridges: [{name: br0, controller: "%s"}]
  external_bridge: br0
"""
HOSTS = (
    HostState(name="main", is_main=True, address="192.0.2.10"),
    HostState(name="host-b", address="b.example", tunnel_address="203.0.113.7"),
)


def said(controller: str) -> list[str]:
    loaded = check(
        YAML % controller,
        files=FakeFiles(),
        catalogue=catalogue_with_test_guest(),
        hosts=HOSTS,
        ranges=Ranges(),
    )
    return [f"{f.severity}: {f.message}" for f in loaded.findings]


@pytest.mark.parametrize(
    "controller",
    [
        "ptcp:6653",
        "ptcp:22:0.0.0.0",
        "pssl:6653",
        "ssl:198.51.100.5:6653",
        "unix:/run/any.sock",
        "punix:/run/any.sock",
        "tcp:localhost:6653",
        "tcp:[::1]:6653",
        "tcp:198.51.100.5",
        "tcp:198.51.100.5:0",
        "tcp:198.51.100.5:65536",
        "tcp:198.51.100.5:6653 ptcp:22",
        "tcp:198.51.100.5:6653\\n",
        "tcp:1:6653",
    ],
)
def test_other_forms_of_controllers_are_refused(controller: str) -> None:
    (sentence,) = said(controller)

    assert sentence.startswith("error: ")
    assert sentence.endswith("is no address of an OpenFlow controller.")


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("127.0.0.1", "is a loopback address"),
        ("0.0.0.0", "means no address"),  # noqa: S104 - refused
        ("224.0.0.1", "is a multicast address"),
        ("169.254.169.254", "is a link-local address"),
        ("192.0.2.10", "has the address of testbed host main"),
        ("203.0.113.7", "has the address of testbed host host-b"),
        ("10.64.32.1", "has a testbed host's address"),
        ("100.64.0.1", "has a testbed host's address"),
    ],
)
def test_controller_at_an_address_of_a_host_is_refused(
    address: str, words: str
) -> None:
    controller = f"tcp:{address}:6653"

    assert said(controller) == [f"error: The controller `{controller}` {words}."]


@pytest.mark.parametrize("address", ["198.51.100.5", "10.64.32.16", "100.64.0.16"])
def test_controller_on_another_machine_or_in_a_guest_is_fine(address: str) -> None:
    assert said(f"tcp:{address}:6653") == []
