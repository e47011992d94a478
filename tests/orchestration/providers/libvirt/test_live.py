"""The provider against a real libvirtd, QEMU, dnsmasq, Open vSwitch and sshd."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from orchestration.errors import (
    AuthenticationRefused,
    HostKeyMismatch,
    HostUnreachable,
    NetworkFailed,
)
from orchestration.providers.libvirt import domains, networks
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.domains import DomainStatus
from orchestration.providers.libvirt.facts import node_facts
from orchestration.providers.libvirt.simulated import open_connection
from orchestration.providers.libvirt.xml import (
    build_domain,
    build_management_network,
    build_nat_network,
)
from orchestration.state.model import GuestState, HostKind, HostState, Reservation
from tests.orchestration.providers.libvirt.private_host import PrivateHost
from tests.orchestration.providers.libvirt.samples import (
    HOST,
    MANAGEMENT,
    NAT,
    build_guest,
)

pytestmark = pytest.mark.live
REAL = HOST.model_copy(update={"kind": HostKind.REAL})
NAT_XML = build_nat_network(NAT, testbed="lab")
MANAGEMENT_XML = build_management_network(MANAGEMENT, testbed="lab")


@pytest.fixture
def conn(private_host: PrivateHost) -> Iterator[Connection]:
    connection = Connection(private_host.socket_uri, machine="host-a")
    yield connection
    for facts in domains.observe(connection):
        domains.destroy(connection, facts.name)
        domains.undefine(connection, facts.name)
    for name in networks.names(connection):
        networks.delete(connection, name)


@pytest.fixture
def guest(private_host: PrivateHost) -> GuestState:
    """A guest with an empty disk: it runs and never boots."""
    folder = private_host.directory / "guests"
    folder.mkdir(exist_ok=True)
    folder.chmod(0o755)
    state = build_guest(folder=str(folder))
    create = ["qemu-img", "create", "-q", "-f", "qcow2", state.disk, "64M"]
    subprocess.run(create, check=True)
    Path(state.seed).write_bytes(bytes(1 << 20))
    return state


def remote(private_host: PrivateHost, **changes: object) -> HostState:
    state = HostState(
        name="host-b",
        address=private_host.ipv4,
        identity_file=str(private_host.directory / "id"),
        host_key=private_host.public_key("host_key"),
    )
    return state.model_copy(update=changes)


def reach(host: HostState, directory: Path) -> Connection:
    return open_connection(host, wrapper_dir=directory, simulated_dir=directory)


def test_facts_of_a_real_host(conn: Connection) -> None:
    facts = node_facts(conn)

    meminfo = Path("/proc/meminfo").read_text().split()
    assert facts.hypervisor == "QEMU"
    assert facts.memory_mib == int(meminfo[1]) >> 10
    assert 0 < facts.free_memory_mib <= facts.memory_mib


def test_networks_are_made_once_and_removed(
    conn: Connection, private_host: PrivateHost
) -> None:
    assert networks.ensure(conn, "lab-nat", NAT_XML) is True
    assert networks.ensure(conn, "lab-nat", NAT_XML) is False
    assert networks.ensure(conn, "lab-mgmt", MANAGEMENT_XML) is True
    assert networks.ensure(conn, "lab-mgmt", MANAGEMENT_XML) is False
    assert "10.254.1.1/24" in private_host.run("ip", "address", "show", "tb-m")
    assert "mtu 1450" in private_host.run("ip", "link", "show", "tb-nat")

    assert networks.delete(conn, "lab-nat") is True
    assert networks.delete(conn, "lab-mgmt") is True
    assert "tb-nat" not in private_host.run("ip", "link")


def test_dhcp_gives_the_reserved_address_and_the_mtu(
    conn: Connection, private_host: PrivateHost
) -> None:
    networks.ensure(conn, "lab-nat", NAT_XML)
    mac = NAT.reservations[0].mac

    answer = ask_dhcp(private_host, mac)

    assert answer == {"ip": "10.201.3.10", "mtu": "1450", "router": "10.201.3.1"}
    assert networks.leases(conn, "lab-nat") == {mac: "10.201.3.10"}


@pytest.mark.parametrize("name", ["web", "www", "web.lab", "www.lab", "db"])
def test_every_name_of_a_reservation_resolves(
    conn: Connection, private_host: PrivateHost, name: str
) -> None:
    networks.ensure(conn, "lab-nat", NAT_XML)

    answer = private_host.run("busybox", "nslookup", name, "10.201.3.1")

    expected = "10.201.3.11" if name == "db" else "10.201.3.10"
    assert f"Address: {expected}" in answer


def test_running_network_learns_a_new_guest_in_place(
    conn: Connection, private_host: PrivateHost
) -> None:
    networks.ensure(conn, "lab-nat", NAT_XML)
    pid = private_host.run("cat", "/sys/class/net/tb-nat/ifindex")
    new = Reservation(mac="52:54:00:00:00:03", address="10.201.3.12", names=("new",))
    nat = NAT.model_copy(update={"reservations": (NAT.reservations[0], new)})
    xml = build_nat_network(nat, testbed="lab")

    assert networks.ensure(conn, "lab-nat", xml) is True
    assert networks.ensure(conn, "lab-nat", xml) is False

    assert private_host.run("cat", "/sys/class/net/tb-nat/ifindex") == pid
    assert ask_dhcp(private_host, new.mac)["ip"] == "10.201.3.12"
    assert "10.201.3.12" in private_host.run("busybox", "nslookup", "new", NAT.gateway)


def test_changed_network_restarts_only_when_nobody_hangs_on_it(
    conn: Connection, guest: GuestState
) -> None:
    networks.ensure(conn, "lab-mgmt", MANAGEMENT_XML)
    domains.define(conn, build_domain(guest, REAL, testbed="lab"))
    domains.start(conn, guest.domain)
    moved = MANAGEMENT.model_copy(update={"address": "10.254.1.2"})
    xml = build_management_network(moved, testbed="lab")

    with pytest.raises(NetworkFailed, match="1 guest interface"):
        networks.ensure(conn, "lab-mgmt", xml)

    domains.destroy(conn, guest.domain)
    assert networks.ensure(conn, "lab-mgmt", xml) is True
    assert networks.ensure(conn, "lab-mgmt", xml) is False


def test_domain_lives_and_goes_without_a_trace(
    conn: Connection, private_host: PrivateHost, guest: GuestState
) -> None:
    networks.ensure(conn, "lab-mgmt", MANAGEMENT_XML)
    xml = build_domain(guest, REAL, testbed="lab")
    domains.define(conn, xml)
    domains.define(conn, xml)

    assert domains.start(conn, guest.domain) is True
    assert domains.start(conn, guest.domain) is False
    (facts,) = domains.observe(conn)
    assert facts.status is DomainStatus.RUNNING
    assert (facts.testbed, facts.guest, facts.spec_hash) == ("lab", "web-0", "hash-0")
    assert (facts.vcpus, facts.memory_mib) == (2, 512)
    assert facts.used_memory_mib > 0
    assert domains.find(conn, guest.domain).uuid == guest.uuid
    ports = private_host.run("ovs-vsctl", "list-ports", "tb-br0").split()
    assert ports == ["tb-0-0", "tb-0-1"]

    assert domains.destroy(conn, guest.domain) is True
    assert domains.destroy(conn, guest.domain) is False
    assert domains.find(conn, guest.domain).reason == "destroyed"
    assert domains.undefine(conn, guest.domain) is True
    assert private_host.run("ovs-vsctl", "list-ports", "tb-br0") == ""


def test_guest_that_ignores_the_power_button_is_given_up(
    conn: Connection, guest: GuestState
) -> None:
    networks.ensure(conn, "lab-mgmt", MANAGEMENT_XML)
    domains.define(conn, build_domain(guest, REAL, testbed="lab"))
    domains.start(conn, guest.domain)

    off = domains.shut_down(conn, guest.domain, sleep=lambda _s: None, timeout_s=1)

    assert off is False
    assert domains.find(conn, guest.domain).is_active


@pytest.mark.parametrize("family", ["ipv4", "ipv6"])
def test_remote_host_is_reached_by_its_pinned_key(
    private_host: PrivateHost, tmp_path: Path, family: str
) -> None:
    address = getattr(private_host, family)
    conn = reach(remote(private_host, address=address), tmp_path)

    assert node_facts(conn).hypervisor == "QEMU"
    conn.close()


def test_another_host_key_is_refused_by_name(
    private_host: PrivateHost, tmp_path: Path
) -> None:
    other = private_host.public_key("other_key")
    conn = reach(remote(private_host, host_key=other), tmp_path)

    with pytest.raises(HostKeyMismatch, match="host-b answered with another SSH key"):
        domains.observe(conn)


def test_another_login_key_is_refused(
    private_host: PrivateHost, tmp_path: Path
) -> None:
    identity = str(private_host.directory / "other_key")
    conn = reach(remote(private_host, identity_file=identity), tmp_path)

    with pytest.raises(AuthenticationRefused, match="host-b refused our SSH key"):
        domains.observe(conn)


def test_host_without_sshd_is_unreachable(
    private_host: PrivateHost, tmp_path: Path
) -> None:
    conn = reach(remote(private_host, port=9), tmp_path)

    with pytest.raises(HostUnreachable, match="host-b does not answer") as caught:
        domains.observe(conn)
    assert "refused" in caught.value.detail


def test_restarted_daemon_is_found_again(
    private_host: PrivateHost, tmp_path: Path
) -> None:
    local = Connection(private_host.socket_uri, machine="host-a")
    over_ssh = reach(remote(private_host), tmp_path)
    for conn in (local, over_ssh):
        assert domains.observe(conn) == ()

    private_host.restart_libvirtd()

    for conn in (local, over_ssh):
        assert domains.observe(conn) == ()


FORK = """
import os, sys
from orchestration.providers.libvirt import domains
from orchestration.providers.libvirt.connection import Connection
conn = Connection(sys.argv[1], machine="host-a")
assert domains.observe(conn) == ()
pid = os.fork()
if pid == 0:
    assert domains.observe(conn) == ()
    sys.exit(0)
assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 0
attempts = conn._attempts
for _ in range(20):
    assert domains.observe(conn) == ()
assert conn._attempts == attempts == 1
"""


def test_connection_outlives_a_forked_child_that_exits(
    private_host: PrivateHost,
) -> None:
    argv = [sys.executable, "-c", FORK, private_host.socket_uri]

    done = subprocess.run(argv, capture_output=True, text=True)

    assert done.returncode == 0, done.stderr


def ask_dhcp(host: PrivateHost, mac: str) -> dict[str, str]:
    """Plug a client with this MAC into the NAT bridge and let it ask."""
    script = host.directory / "dhcp.sh"
    script.write_text(
        '#!/bin/sh\n[ "$1" = bound ] && echo "ip=$ip mtu=$mtu router=$router"\nexit 0\n'
    )
    script.chmod(0o755)
    link = ["ip", "link"]
    host.run(*link, "add", "cli-a", "type", "veth", "peer", "name", "cli-b")
    try:
        host.run(*link, "set", "cli-b", "address", mac)
        host.run(*link, "set", "cli-a", "master", "tb-nat", "up")
        host.run(*link, "set", "cli-b", "up")
        argv = ["busybox", "udhcpc", "-i", "cli-b", "-n", "-q", "-f", "-O", "mtu"]
        answer = host.run(*argv, "-s", str(script), "-t", "20", "-T", "1")
    finally:
        host.run(*link, "del", "cli-a")
    return dict(word.split("=") for word in answer.split())
