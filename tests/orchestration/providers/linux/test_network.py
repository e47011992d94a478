"""The facts of a host's own network: ranges, filters, MTU of the underlay."""

import json
import re

import pytest

from orchestration.providers.linux.network import look, parse
from orchestration.state.model import Claim, ClaimKind, HostNetwork
from orchestration.transport.base import Scope
from orchestration.transport.local import LocalTransport
from tests.fakes import FakeTransport

LOOK = re.compile(r"sh -c .*ip -json address.*", re.DOTALL)
ADDRESS = "198.51.100.7"
TAILSCALE = "-A ts-input -s 100.64.0.0/10 ! -i tailscale0 -j DROP"
NFT = """\
table ip filter {
	chain ts-input {
		ip saddr 100.64.0.0/10 iifname != "tailscale0" counter packets 0 bytes 0 drop
"""


def device(name: str, *addresses: str, mtu: int = 1500) -> dict[str, object]:
    pairs = (address.split("/") for address in addresses)
    info = [{"local": local, "prefixlen": int(n)} for local, n in pairs]
    return {"ifname": name, "mtu": mtu, "addr_info": info}


def seen(*devices: dict[str, object], **sections: str) -> HostNetwork:
    text = f"[devices]\n{json.dumps(devices)}\n"
    text += "".join(f"[{name}]\n{said}\n" for name, said in sections.items())
    return parse(text, ADDRESS)


def claims(network: HostNetwork, kind: ClaimKind) -> list[tuple[str, str]]:
    return [(c.by, c.range) for c in network.claims if c.kind is kind]


def test_addresses_and_routes_are_noted_but_those_of_our_own_networks() -> None:
    routes = [
        {"dst": "default", "dev": "eth0"},
        {"dst": "100.64.0.0/10", "dev": "tailscale0", "table": "52"},
        {"dst": "10.64.16.0/20", "dev": "t1nat"},
        {"type": "local", "dst": "10.64.0.9", "dev": "eth0", "table": "local"},
        {"type": "unreachable", "dst": "10.66.0.0/16"},
    ]

    network = seen(
        device("eth0", "10.64.0.9/24", "fe80::1/64"),
        device("t1nat", "10.64.16.1/20"),
        device("t1mgmt", "100.64.16.1/20"),
        routes=json.dumps(routes),
    )

    assert claims(network, ClaimKind.ADDRESS) == [("eth0", "10.64.0.9/24")]
    assert claims(network, ClaimKind.ROUTE) == [("tailscale0", "100.64.0.0/10")]


def test_missing_nftables_is_noted() -> None:
    assert seen(firewall="none").lacks_nftables
    assert not seen(firewall="").lacks_nftables
    assert not seen().lacks_nftables


@pytest.mark.parametrize("sections", [{"iptables": TAILSCALE}, {"nft": NFT}])
def test_filter_of_tailscale_is_found_in_either_firewall(
    sections: dict[str, str],
) -> None:
    network = seen(**sections)

    assert network.claims == (
        Claim(kind=ClaimKind.FILTER, range="100.64.0.0/10", by="ts-input"),
    )


@pytest.mark.parametrize(
    "rule",
    [
        "-A INPUT -s 10.0.0.0/8 -i eth0 -j DROP",
        "-A DOCKER -d 172.17.0.2/32 ! -i docker0 -o docker0 -j DROP",
        "-A INPUT ! -s 10.0.0.0/8 -j DROP",
        "-A INPUT -s 10.0.0.0/8 -p tcp -m tcp --dport 25 -j DROP",
        "-A LIBVIRT_FWI -d 10.64.16.0/20 -o t1nat -j REJECT",
        "-A INPUT -j DROP",
    ],
)
def test_rule_that_does_not_concern_guests_is_no_filter(rule: str) -> None:
    assert seen(iptables=rule).claims == ()


@pytest.mark.parametrize(
    "rule",
    [
        'ip saddr 10.0.0.0/8 iifname "eth0" drop',
        "ip saddr != 10.0.0.0/8 drop",
        "ip saddr 10.0.0.0/8 tcp dport 25 drop",
    ],
)
def test_nft_rule_that_does_not_concern_guests_is_no_filter(rule: str) -> None:
    text = f"table inet mine {{\n\tchain input {{\n\t\t{rule}\n"

    assert seen(nft=text).claims == ()


def test_ranges_of_a_set_and_rules_about_our_devices_are_filters() -> None:
    text = (
        "table ip x {\n\tchain in {\n\t\tip daddr { 10.0.0.0/8, 100.64.0.0/10 } drop\n"
    )

    assert len(seen(nft=text).claims) == 2
    assert seen(iptables="-A FORWARD -i t1nat -s 10.64.0.0/10 -j REJECT").claims


@pytest.mark.parametrize(
    ("sections", "is_dropped"),
    [
        ({"iptables": ":FORWARD DROP [0:0]", "libvirt": "nftables"}, True),
        (
            {
                "iptables": ":FORWARD DROP [0:0]",
                "nft": "table ip libvirt_network {",
            },
            True,
        ),
        (
            {
                "nft": "table ip libvirt_network {\ntable ip filter {\n"
                "\t\ttype filter hook forward priority filter; policy drop;"
            },
            True,
        ),
        ({"iptables": ":FORWARD ACCEPT [0:0]", "libvirt": "nftables"}, False),
        ({"iptables": ":FORWARD DROP [0:0]", "libvirt": "iptables"}, False),
        (
            {"iptables": ":FORWARD DROP [0:0]\n:LIBVIRT_FWI - [0:0]"},
            False,
        ),
    ],
)
def test_firewall_that_drops_what_libvirts_nftables_lets_pass_is_seen(
    sections: dict[str, str], *, is_dropped: bool
) -> None:
    assert seen(**sections).drops_forwards is is_dropped


def test_underlay_carries_what_its_narrowest_device_does() -> None:
    network = seen(
        device("eth0", "192.0.2.7/24"),
        device("br-phy", f"{ADDRESS}/24", mtu=9000),
        device("eth1", mtu=1400),
        device("t1g0i0", mtu=1300),
        ports="eth1\nt1g0i0",
    )

    assert (network.tunnel_device, network.tunnel_mtu) == ("br-phy", 1400)


def test_underlay_of_a_host_without_the_address_is_unknown() -> None:
    network = seen(device("eth0", "192.0.2.7/24"))

    assert (network.tunnel_device, network.tunnel_mtu) == ("", 0)


@pytest.mark.parametrize("text", ["", "nonsense", "[devices]\nsudo: no\n[routes]\n"])
def test_host_that_says_nothing_useful_has_no_network(text: str) -> None:
    assert parse(text, ADDRESS) == HostNetwork()


def test_question_is_understood_by_a_real_shell() -> None:
    fake, real = FakeTransport("x", [(LOOK, "")]), LocalTransport("here")
    look(fake, "127.0.0.1", scope=Scope())

    said = real.run(fake.calls[0], scope=Scope(), check=False)
    real.close()
    network = parse(said.stdout, "127.0.0.1")

    assert (said.exit_code, said.stderr) == (0, "")
    assert (network.tunnel_device, network.tunnel_mtu > 1499) == ("lo", True)
