"""The firewall of a host against a real kernel: a guest, its host, a lab, the internet.

All are network namespaces. Each thing that must not get through is tried without the
firewall first, so that a test cannot pass because nothing ever arrives.
"""

import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network

import pytest

from orchestration.errors import CommandFailed
from orchestration.providers.linux import firewall, ip_link
from orchestration.providers.linux.ruleset import Policy, build_ruleset
from orchestration.providers.linux.senders import Sender, build_senders
from orchestration.transport.base import Scope
from tests.live.network_namespace import SEND, Namespace, cable
from tests.waiting import wait_until

needs = [t for t in ("nft", "unshare", "nsenter", "dnsmasq") if not shutil.which(t)]
pytestmark = [
    pytest.mark.live,
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root"),
    pytest.mark.skipif(bool(needs), reason=f"not installed: {', '.join(needs)}"),
]
GATEWAY, GUEST = "10.64.0.1", "10.64.0.16"
MANAGED_BY, MANAGED = "100.64.0.1", "100.64.0.16"
MAIN, HOST_B, PRINTER = "192.0.2.1", "192.0.2.7", "192.168.50.9"
ELSEWHERE, STRANGER = "203.0.113.9", "198.51.100.66"
METADATA = "169.254.169.254"
SENT = 5
ADVERTISE = """
import socket, struct, sys
sender = socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6)
sender.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_MULTICAST_HOPS, 255)
prefix = struct.pack("!BBBBIII", 3, 4, 64, 0xC0, 9000, 9000, 0)
prefix += socket.inet_pton(socket.AF_INET6, "2001:db8:bad::")
message = struct.pack("!BBHBBHII", 134, 0, 0, 64, 0, 9000, 0, 0) + prefix
device = socket.if_nametoindex(sys.argv[1])
sender.sendto(message, ("ff02::1", 0, 0, device))
"""


@dataclass
class Lab:
    """A testbed host, one guest, the lab's network, and the internet."""

    main: Namespace
    guest: Namespace
    lab: Namespace
    internet: Namespace

    def guard(self) -> None:
        """Give the host the firewall of its installation."""
        policy = Policy(
            hosts=frozenset({MAIN, HOST_B}),
            subnets=frozenset({IPv4Network("192.0.2.0/24")}),
        )
        firewall.ensure(self.main, build_ruleset(policy), scope=Scope())

    def open(self) -> None:
        """Take the firewall away."""
        self.main.say("nft flush ruleset")
        self.main.set_up(MASQUERADE)


MASQUERADE = """
    nft add table ip nat
    nft add chain ip nat post { type nat hook postrouting priority 100 ; }
    nft add rule ip nat post ip saddr 10.64.0.0/20 ip daddr != 10.64.0.0/20 masquerade
"""


@pytest.fixture(scope="module", name="unguarded")
def _unguarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """The lab before the host has a firewall, with libvirt's NAT and dnsmasq."""
    names = ("main", "guest", "lab", "internet")
    machines = {name: Namespace(name) for name in names}
    lab = Lab(**machines)
    try:
        cable(lab.main, "t0vn", lab.guest, "eth0")
        cable(lab.main, "t0g0im", lab.guest, "mgmt0")
        cable(lab.main, "t0-br0", lab.guest, "eth1")
        cable(lab.main, "wire", lab.lab, "wire")
        cable(lab.main, "uplink", lab.internet, "wire")
        _set_up(lab)
        leases = tmp_path_factory.mktemp("dnsmasq") / "leases"
        _start_dnsmasq(lab.main, str(leases))
        yield lab
    finally:
        for machine in machines.values():
            machine.close()


def _set_up(lab: Lab) -> None:
    lab.main.set_up(f"""
        ip link add t0nat type bridge
        ip link set t0vn master t0nat
        ip link add t0mgmt type bridge
        ip link set t0g0im master t0mgmt
        ip address add {GATEWAY}/20 dev t0nat
        ip address add {MANAGED_BY}/20 dev t0mgmt
        ip address add {MAIN}/24 dev wire
        ip address add {METADATA}/32 dev lo
        ip address add 203.0.113.1/24 dev uplink
        ip link set t0nat up
        ip link set t0mgmt up
        ip route add default via {ELSEWHERE}
        ip route add 192.168.50.0/24 via {HOST_B}
        sysctl -qw net.ipv4.ip_forward=1
        sysctl -qw net.ipv6.conf.t0-br0.accept_ra=2
    """)
    lab.guest.set_up(f"""
        ip address add {GUEST}/20 dev eth0
        ip address add {MANAGED}/20 dev mgmt0
        ip route add default via {GATEWAY}
    """)
    lab.lab.set_up(f"""
        ip address add {HOST_B}/24 dev wire
        ip address add {PRINTER}/32 dev lo
        ip route add default via {MAIN}
    """)
    lab.internet.set_up(f"""
        ip address add {ELSEWHERE}/24 dev wire
        ip address add {STRANGER}/32 dev lo
        ip route add {MAIN} via 203.0.113.1
    """)
    lab.main.set_up(MASQUERADE)
    for machine in (lab.main, lab.lab, lab.internet):
        machine.serve(22, 8000)
    lab.guest.serve(22)


def _start_dnsmasq(main: Namespace, leases: str) -> None:
    words = ["dnsmasq", "--no-daemon", "--conf-file=/dev/null", "--no-resolv"]
    words += [
        "--no-hosts",
        "--interface=t0nat",
        "--bind-dynamic",
        "--except-interface=lo",
    ]
    words += ["--dhcp-range=10.64.0.100,10.64.0.200", f"--dhcp-leasefile={leases}"]
    words += ["--address=/web.lab/10.64.0.16", "--log-facility=-"]
    main.start("sh", "-c", 'exec "$@" 2>&1', "sh", *words)


@pytest.fixture
def bare(unguarded: Lab) -> Lab:
    """The lab without a firewall."""
    unguarded.open()
    return unguarded


@pytest.fixture
def guarded(unguarded: Lab) -> Lab:
    """The lab with the firewall."""
    unguarded.open()
    unguarded.guard()
    return unguarded


SERVICES = [
    (GATEWAY, 22),
    (GATEWAY, 8000),
    (MANAGED_BY, 22),
    (MAIN, 22),
    (METADATA, 8000),
    (HOST_B, 22),
    (HOST_B, 8000),
    (PRINTER, 8000),
]


@pytest.mark.parametrize(("address", "port"), SERVICES)
def test_guest_reaches_services_of_hosts_and_lab_without_it(
    bare: Lab, address: str, port: int
) -> None:
    assert bare.guest.tries(address, port, patience_s=10) == "open"


@pytest.mark.parametrize(("address", "port"), SERVICES)
def test_guest_reaches_no_service_of_hosts_and_lab(
    guarded: Lab, address: str, port: int
) -> None:
    assert guarded.guest.tries(address, port) == "closed"


def test_guest_has_what_it_needs(guarded: Lab) -> None:
    guest = guarded.guest

    lease = guest.say("busybox udhcpc -f -n -q -t 10 -T 1 -i eth0 -s /bin/true")
    name = guest.say(f"busybox nslookup -type=a web.lab {GATEWAY}")
    guest.say(f"ping -c 3 -i 0.2 -W 5 {GATEWAY}")
    outside = guest.tries(ELSEWHERE, 8000, patience_s=10)

    assert GUEST in name.rpartition("web.lab")[2]
    assert outside == "open"
    assert lease is not None


@pytest.mark.parametrize("address", [GUEST, MANAGED])
def test_host_reaches_its_guest(guarded: Lab, address: str) -> None:
    assert guarded.main.tries(address, 22, patience_s=10) == "open"


def test_admin_may_allow_a_network(bare: Lab) -> None:
    allowed = (IPv4Network("192.168.50.0/24"),)
    ruleset = build_ruleset(Policy(hosts=frozenset({HOST_B}), allowed=allowed))

    firewall.ensure(bare.main, ruleset, scope=Scope())

    assert bare.guest.tries(PRINTER, 8000, patience_s=10) == "open"
    assert bare.guest.tries("192.168.51.9", 8000) == "closed"


def arrived(lab: Lab, sender: Namespace, receiver: Namespace, address: str) -> int:
    """Return how many of five tunnel packets from one machine reach another."""
    counter = receiver.count(4789)
    sender.send(address, 4789, SENT)
    # From a host, so that it comes last and through any firewall.
    last = {lab.main: lab.lab, lab.lab: lab.main}[receiver]
    last.send(MAIN if receiver is lab.main else HOST_B, 4789, 1, "end")
    assert counter.stdout is not None
    return int(counter.stdout.readline())


def test_tunnel_packets_of_guests_and_strangers_arrive_without_it(bare: Lab) -> None:
    assert arrived(bare, bare.guest, bare.lab, HOST_B) == SENT
    assert arrived(bare, bare.guest, bare.main, GATEWAY) == SENT
    assert arrived(bare, bare.internet, bare.main, MAIN) == SENT


def test_tunnel_packets_of_guests_and_strangers_never_arrive(guarded: Lab) -> None:
    assert arrived(guarded, guarded.guest, guarded.lab, HOST_B) == 0
    assert arrived(guarded, guarded.guest, guarded.main, GATEWAY) == 0
    assert arrived(guarded, guarded.internet, guarded.main, MAIN) == 0


def test_tunnel_packets_of_hosts_arrive(guarded: Lab) -> None:
    assert arrived(guarded, guarded.lab, guarded.main, MAIN) == SENT


def ipv6_of(main: Namespace, device: str = "t0-br0") -> str:
    return main.say(f"ip -6 address show dev {device}")


def advertise(lab: Lab) -> None:
    """Let the guest say that it is a router, once its own link is ready."""
    wait_until(
        lambda: "tentative" not in lab.guest.say("ip -6 address show dev eth1"),
        "the guest's link-local address is not ready",
    )
    for _ in range(SENT):
        lab.guest.python(ADVERTISE, "eth1")


def routers(lab: Lab) -> str:
    return lab.main.say("ip -6 route show default")


def test_guest_is_no_router_of_its_host(bare: Lab) -> None:
    advertise(bare)
    wait_until(lambda: "proto ra" in routers(bare), "no router without a firewall")

    bare.guard()
    bare.main.say("sysctl -qw net.ipv6.conf.t0-br0.disable_ipv6=1")
    bare.main.say("sysctl -qw net.ipv6.conf.t0-br0.disable_ipv6=0")
    assert routers(bare) == ""
    advertise(bare)
    dropped = bare.main.say("nft list chain inet testbed from_guests")

    assert "ipv6 counter packets 0" not in dropped
    assert routers(bare) == ""
    assert "2001:db8:bad" not in ipv6_of(bare.main)


def test_our_devices_have_no_ipv6(bare: Lab) -> None:
    bare.main.say("ip link add t0w1a type veth peer name t0w1b")

    ip_link.silence_host(bare.main, ["t0w1a", "t0w1b", "gone"], scope=Scope())
    for device in ("t0w1a", "t0w1b"):
        bare.main.say(f"ip link set dev {device} up")

    assert ipv6_of(bare.main, "t0w1a") == ipv6_of(bare.main, "t0w1b") == ""


def test_host_answers_for_its_gateway_on_no_other_device(bare: Lab) -> None:
    ask = f"busybox arping -c 3 -w 3 -f -I eth1 {GATEWAY}"
    assert "Unicast reply" in bare.guest.say(ask)

    ip_link.silence_host(bare.main, ["t0-br0"], scope=Scope())

    with pytest.raises(CommandFailed):
        bare.guest.say(ask)


def test_guest_with_an_address_of_another_testbed_gets_nowhere(guarded: Lab) -> None:
    guest = guarded.guest
    guest.say("ip address add 10.64.16.5/32 dev eth0")
    try:
        send = SEND.replace("sender =", "sender=").replace(
            "for _", "sender.bind(('10.64.16.5', 0))\nfor _"
        )
        guest.python(send, ELSEWHERE, 4000, SENT, "x")
    finally:
        guest.say("ip address delete 10.64.16.5/32 dev eth0")

    dropped = guarded.main.say("nft list chain inet testbed from_guests")
    assert f"fib saddr . iif oif missing counter packets {SENT}" in dropped


def test_second_ensure_finds_it_and_a_look_finds_every_change(guarded: Lab) -> None:
    main, scope = guarded.main, Scope()
    ruleset = build_ruleset(Policy())

    assert firewall.ensure(main, ruleset, scope=scope)
    assert not firewall.ensure(main, ruleset, scope=scope)
    found = firewall.observe(main, scope=scope)
    assert found == firewall.Firewall(ruleset.digest, is_intact=True)


@pytest.mark.parametrize(
    "change",
    [
        "nft insert rule inet testbed to_host accept",
        "nft flush chain inet testbed to_outside",
        "nft delete element inet testbed denied { 10.0.0.0/8 }",
        "nft add element inet testbed allowed { 10.0.0.0/8 }",
    ],
)
def test_change_by_hand_is_seen_and_repaired(guarded: Lab, change: str) -> None:
    guarded.main.say(change)

    found = firewall.observe(guarded.main, scope=Scope())
    assert found is not None
    assert not found.is_intact
    guarded.guard()
    mended = firewall.observe(guarded.main, scope=Scope())
    assert mended is not None
    assert mended.is_intact


def test_look_finds_no_change_after_traffic(guarded: Lab) -> None:
    guarded.guest.say(f"ping -c 3 -i 0.2 -W 5 {GATEWAY}")
    guarded.guest.tries(MAIN, 22)

    found = firewall.observe(guarded.main, scope=Scope())

    assert found is not None
    assert found.is_intact


def test_tables_of_others_stay(bare: Lab) -> None:
    before = bare.main.say("nft list ruleset")

    bare.guard()
    bare.main.say("nft delete table inet testbed")

    assert bare.main.say("nft list ruleset") == before


def test_table_without_senders_is_taken(bare: Lab) -> None:
    assert firewall.ensure(bare.main, build_senders(0, []), scope=Scope())


@pytest.fixture
def bound(bare: Lab) -> Iterator[Lab]:
    """The lab whose guest is bound to its management address."""
    mac = mac_of(bare.guest)
    sender = Sender("t0g0im", mac, MANAGED)
    firewall.ensure(bare.main, build_senders(0, [sender]), scope=Scope())
    bare.main.say("ip neigh flush dev t0mgmt")
    yield bare
    bare.guest.say(f"ip link set mgmt0 address {mac}")
    bare.main.say("ip neigh flush dev t0mgmt")


def mac_of(guest: Namespace) -> str:
    return guest.say("ip -brief link show dev mgmt0").split()[2]


def dropped(lab: Lab) -> int:
    """Return how many frames of the guest's management tap were dropped."""
    words = lab.main.say("nft list chain bridge testbed_t0 from_guests").split()
    return int(words[words.index("packets") + 1])


def test_bound_guest_is_reached_at_its_management_address(bound: Lab) -> None:
    assert bound.main.tries(MANAGED, 22, patience_s=10) == "open"


def test_bound_guest_cannot_take_the_address_of_another(bound: Lab) -> None:
    other = "100.64.0.17"
    bound.guest.say(f"ip address add {other}/20 dev mgmt0")
    try:
        assert bound.main.tries(other, 22) == "closed"
    finally:
        bound.guest.say(f"ip address delete {other}/20 dev mgmt0")

    assert dropped(bound) > 0
    assert bound.main.tries(MANAGED, 22, patience_s=10) == "open"


def test_bound_guest_cannot_take_the_mac_of_another(bound: Lab) -> None:
    bound.guest.say("ip link set mgmt0 address 52:54:00:00:00:99")

    assert bound.main.tries(MANAGED, 22) == "closed"
    assert dropped(bound) > 0
