"""Commands to a running guest whose network changes.

That guests obey is shown in tests/live: test_drift.py (`ip`), test_cloud_init.py
(netplan).
"""

import json
import subprocess

import pytest

from orchestration.errors import CommandFailed
from orchestration.providers.guest.cloud_init import READY_FILE, instance_id
from orchestration.providers.guest.network import (
    change_network,
    network_command,
)
from orchestration.state.model import GuestState
from orchestration.transport.base import Scope
from tests.fakes import FakeTransport, Reply
from tests.orchestration.state.samples import build, machine, spec_of


def guest(*interfaces: str | dict[str, str]) -> GuestState:
    spec = spec_of(machine("web", *interfaces), bridges=("br0", "alone"))
    return build(spec).guest("web")


def words(after: GuestState, before: GuestState) -> list[list[str]]:
    """Return the words of each interface, without its MAC."""
    argv = network_command(after, before.interfaces).argv[6:]
    rows = [list(argv[n : n + 8]) for n in range(0, len(argv), 8)]
    return [[row[0], *row[2:]] for row in rows]


def test_guest_is_told_what_its_interfaces_are_and_what_they_were() -> None:
    before = guest("br0", {"bridge": "alone", "ip": "10.9.0.2", "gateway": "10.9.0.1"})
    after = guest({"bridge": "alone", "ip": "10.9.0.3"}, "br0", "alone")

    assert words(after, before) == [
        ["eth0", "1450", "10.9.0.3/24", "-", "-", "10.64.112.16/20", "-"],
        [
            *("eth1", "1450", "10.64.112.16/20", "10.64.112.1", "10.64.112.1"),
            *("10.9.0.2/24", "10.9.0.1"),
        ],
        ["eth2", "1450", "-", "-", "-", "-", "-"],
    ]


def test_only_one_interface_has_the_default_route() -> None:
    one = {"bridge": "alone", "ip": "10.9.0.2", "gateway": "10.9.0.1"}
    other = {"bridge": "alone", "ip": "10.9.1.2", "gateway": "10.9.1.1"}
    found = guest(one, other)

    gateways = [row[3] for row in words(found, found)]

    assert gateways == ["10.9.0.1", "-"]


def test_fixed_address_in_the_nat_network_gets_its_name_server() -> None:
    before = guest("br0")
    after = guest({"bridge": "br0", "ip": "10.64.112.50", "gateway": "10.64.112.1"})

    ((*_, name_server, _, _),) = words(after, before)

    assert name_server == "10.64.112.1"


def test_guest_with_netplan_gets_what_its_seed_says() -> None:
    found = guest("br0")

    command = network_command(found, ())

    assert command.argv[:3] == ("sh", "-s", "--")
    config = json.loads(command.argv[3])
    assert config["network"]["version"] == 2
    assert config["network"]["ethernets"].keys() == {"eth0", "mgmt0"}
    assert command.argv[4:6] == (instance_id(found), READY_FILE)
    assert command.as_root


def test_script_is_one_that_a_posix_shell_reads() -> None:
    script = network_command(guest("br0"), ()).stdin

    done = subprocess.run(["sh", "-n", "-s"], input=script, capture_output=True)

    assert script
    assert (done.returncode, done.stderr) == (0, b"")


def test_failure_says_what_the_guest_said() -> None:
    found = guest("br0")
    line = str(network_command(found, ()))
    there = FakeTransport(
        "web", [(line, Reply(stderr="eth0 has not got its address", exit_code=4))]
    )

    with pytest.raises(CommandFailed) as caught:
        change_network(there, found, (), scope=Scope())

    assert "inside guest web on host-a" in caught.value.message
    assert caught.value.detail == "eth0 has not got its address"
    assert caught.value.exit_code == 4
