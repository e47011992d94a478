"""Networks of a real libvirtd, with its dnsmasq and QEMU."""

import os
import signal
from typing import Any

import pytest

from orchestration.errors import NetworkFailed
from orchestration.providers.libvirt import domains, networks
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.xml.domain import (
    build_domain,
    build_management_network,
    build_nat_network,
)
from orchestration.providers.linux import dnsmasq
from orchestration.state.model import GuestState, Reservation
from orchestration.transport.base import Command, Completed, Scope
from orchestration.transport.local import LocalTransport
from tests.orchestration.providers.libvirt.private_host import PrivateHost
from tests.orchestration.providers.libvirt.samples import (
    MANAGEMENT,
    MANAGEMENT_XML,
    NAT,
    NAT_XML,
    REAL_HOST,
    domain_in_lab,
)
from tests.waiting import wait_until

pytestmark = pytest.mark.live
PATIENCE_S = 60


def test_networks_are_made_once_and_removed(
    conn: Connection, private_host: PrivateHost
) -> None:
    assert networks.ensure(conn, "lab-nat", NAT_XML, testbed="lab") is True
    assert networks.ensure(conn, "lab-nat", NAT_XML, testbed="lab") is False
    assert networks.ensure(conn, "lab-mgmt", MANAGEMENT_XML, testbed="lab") is True
    assert networks.ensure(conn, "lab-mgmt", MANAGEMENT_XML, testbed="lab") is False
    assert "10.254.1.1/24" in private_host.run("ip", "address", "show", "tb-m")
    assert "mtu 1450" in private_host.run("ip", "link", "show", "tb-nat")

    assert networks.delete(conn, "lab-nat", testbed="lab") is True
    assert networks.delete(conn, "lab-mgmt", testbed="lab") is True
    assert "tb-nat" not in private_host.run("ip", "link")


def test_dhcp_gives_the_reserved_address_and_the_mtu(
    conn: Connection, private_host: PrivateHost
) -> None:
    networks.ensure(conn, "lab-nat", NAT_XML, testbed="lab")
    mac = NAT.reservations[0].mac

    answer = ask_dhcp(private_host, mac)

    assert answer == {"ip": "10.201.3.10", "mtu": "1450", "router": "10.201.3.1"}
    assert noted_leases(conn) == {mac: "10.201.3.10"}


@pytest.mark.parametrize("name", ["web", "www", "web.lab", "www.lab", "db"])
def test_every_name_of_a_reservation_resolves(
    conn: Connection, private_host: PrivateHost, name: str
) -> None:
    networks.ensure(conn, "lab-nat", NAT_XML, testbed="lab")

    answer = private_host.run("busybox", "nslookup", name, "10.201.3.1")

    expected = "10.201.3.11" if name == "db" else "10.201.3.10"
    assert f"Address: {expected}" in answer


def test_running_network_learns_a_new_guest_in_place(
    conn: Connection, private_host: PrivateHost
) -> None:
    networks.ensure(conn, "lab-nat", NAT_XML, testbed="lab")
    pid = private_host.run("cat", "/sys/class/net/tb-nat/ifindex")
    new = Reservation(mac="52:54:00:00:00:03", address="10.201.3.12", names=("new",))
    nat = NAT.model_copy(update={"reservations": (NAT.reservations[0], new)})
    xml = build_nat_network(nat, testbed="lab")

    assert networks.ensure(conn, "lab-nat", xml, testbed="lab") is True
    assert networks.ensure(conn, "lab-nat", xml, testbed="lab") is False

    assert private_host.run("cat", "/sys/class/net/tb-nat/ifindex") == pid
    assert ask_dhcp(private_host, new.mac)["ip"] == "10.201.3.12"
    assert "10.201.3.12" in private_host.run("busybox", "nslookup", "new", NAT.gateway)


def test_dead_dnsmasq_is_started_again_and_the_bridge_stays(
    conn: Connection, private_host: PrivateHost
) -> None:
    networks.ensure(conn, "lab-nat", NAT_XML, testbed="lab")
    index = private_host.run("cat", "/sys/class/net/tb-nat/ifindex")
    pid = private_host.run("cat", "/run/libvirt/network/lab-nat.pid")
    os.kill(int(pid), signal.SIGKILL)
    wait_until(lambda: served(private_host) == "", "dnsmasq is still there")

    networks.restart_dnsmasq(conn, "lab-nat", testbed="lab")

    assert served(private_host) == "lab-nat"
    assert private_host.run("cat", "/sys/class/net/tb-nat/ifindex") == index
    assert ask_dhcp(private_host, NAT.reservations[0].mac)["ip"] == "10.201.3.10"
    assert "10.201.3.10" in private_host.run("busybox", "nslookup", "web", NAT.gateway)
    assert networks.ensure(conn, "lab-nat", NAT_XML, testbed="lab") is False


def served(host: PrivateHost) -> str:
    """Return the networks whose dnsmasq runs there."""
    return " ".join(dnsmasq.running(Inside(host), scope=Scope()))


class Inside(LocalTransport):
    """A transport into the private host."""

    def __init__(self, host: PrivateHost) -> None:
        super().__init__("host-a")
        self.host = host

    def run(self, cmd: Command, **options: Any) -> Completed:
        return Completed(cmd, 0, self.host.run(*cmd.argv), "", 0.0)


def test_changed_network_restarts_only_when_nobody_hangs_on_it(
    conn: Connection, guest: GuestState
) -> None:
    networks.ensure(conn, "lab-mgmt", MANAGEMENT_XML, testbed="lab")
    domains.define(
        conn, domain_in_lab(guest), build_domain(guest, REAL_HOST, testbed="lab")
    )
    domains.start(conn, domain_in_lab(guest))
    moved = MANAGEMENT.model_copy(update={"address": "10.254.1.2"})
    xml = build_management_network(moved, testbed="lab")

    with pytest.raises(NetworkFailed, match="1 guest interface"):
        networks.ensure(conn, "lab-mgmt", xml, testbed="lab")

    domains.destroy(conn, domain_in_lab(guest))
    assert networks.ensure(conn, "lab-mgmt", xml, testbed="lab") is True
    assert networks.ensure(conn, "lab-mgmt", xml, testbed="lab") is False


def noted_leases(conn: Connection) -> dict[str, str]:
    """Return the leases when there are some: dnsmasq's helper notes them later."""
    return wait_until(
        lambda: networks.leases(conn, "lab-nat", testbed="lab"),
        "no lease was noted",
        timeout_s=PATIENCE_S,
        pause_s=0.1,
    )


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
