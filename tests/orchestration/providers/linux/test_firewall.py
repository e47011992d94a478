"""The firewall of a host: its text, and that it is written only where it differs.

What the kernel makes of it is in tests/live/test_firewall.py.
"""

from ipaddress import IPv4Network
from pathlib import Path

import pytest

from orchestration.compose.pools import Pools
from orchestration.errors import NetworkFailed
from orchestration.providers.linux import firewall
from orchestration.providers.linux.ruleset import Policy, build_ruleset, policy_of
from orchestration.state.model import HostNetwork, HostState
from orchestration.transport.base import Scope
from orchestration.transport.simulated.transport import SimulatedTransport
from tests.fakes import FakeTransport, Reply
from tests.golden import DATA, Golden

LIST = "nft --stateless list table inet testbed"
POLICY = Policy(
    pools=Pools(management=IPv4Network("172.20.0.0/14")),
    hosts=frozenset({"198.51.100.7", "192.0.2.1", "2001:db8::7"}),
    subnets=frozenset({IPv4Network("198.51.100.0/24"), IPv4Network("10.0.0.0/24")}),
    allowed=(IPv4Network("192.168.7.128/25"), IPv4Network("192.168.7.0/25")),
)


def test_ruleset_is_as_reviewed(golden: Golden) -> None:
    golden(build_ruleset(POLICY).text, DATA / "expected" / "firewall.nft")


def test_ruleset_does_not_depend_on_the_order_of_its_facts() -> None:
    turned = Policy(
        pools=POLICY.pools,
        hosts=frozenset(sorted(POLICY.hosts, reverse=True)),
        subnets=POLICY.subnets,
        allowed=POLICY.allowed[::-1],
    )

    assert build_ruleset(turned) == build_ruleset(POLICY)


def test_each_fact_makes_another_digest() -> None:
    policies = [
        Policy(),
        Policy(hosts=frozenset({"192.0.2.1"})),
        Policy(subnets=frozenset({IPv4Network("192.0.2.0/24")})),
        Policy(allowed=(IPv4Network("192.0.2.0/24"),)),
        Policy(pools=Pools(nat=IPv4Network("172.20.0.0/14"))),
    ]

    assert len({build_ruleset(policy).digest for policy in policies}) == len(policies)


def test_policy_of_hosts_has_their_literal_addresses() -> None:
    hosts = [
        HostState(name="main", is_main=True, address="192.0.2.1"),
        HostState(name="b", address="b.example", tunnel_address="198.51.100.7"),
        HostState(name="c"),
    ]

    assert policy_of(hosts).hosts == {"192.0.2.1", "198.51.100.7"}


def test_firewall_is_written_once_and_found_unchanged(tmp_path: Path) -> None:
    host, ruleset = SimulatedTransport("host-a", tmp_path), build_ruleset(POLICY)

    assert firewall.observe(host, scope=Scope()) is None
    assert firewall.ensure(host, ruleset, scope=Scope())
    assert not firewall.ensure(host, ruleset, scope=Scope())
    found = firewall.observe(host, scope=Scope())
    assert found == firewall.Firewall(ruleset.digest, is_intact=True)


def test_other_firewall_is_replaced(tmp_path: Path) -> None:
    host, ruleset = SimulatedTransport("host-a", tmp_path), build_ruleset(POLICY)
    firewall.ensure(host, build_ruleset(Policy()), scope=Scope())

    assert firewall.ensure(host, ruleset, scope=Scope())
    found = firewall.observe(host, scope=Scope())
    assert found == firewall.Firewall(ruleset.digest, is_intact=True)


def test_firewall_is_replaced_as_a_whole() -> None:
    gone = Reply(stderr="Error: No such file or directory", exit_code=1)
    host = FakeTransport(
        "host-a", [(LIST, gone), ("nft -f -", ""), (LIST, "table…"), ("nft -f -", "")]
    )
    ruleset = build_ruleset(POLICY)

    firewall.ensure(host, ruleset, scope=Scope())

    written = host.calls[1].stdin.decode()
    assert written == (
        "add table inet testbed\ndelete table inet testbed\n" + ruleset.text
    )
    assert all(cmd.as_root for cmd in host.calls)


def test_host_without_nftables_is_told_what_to_do() -> None:
    lacking = Reply(stderr="nft: command not found", exit_code=127)
    host = FakeTransport("host-a", [(LIST, lacking), ("nft -f -", lacking)])

    with pytest.raises(NetworkFailed, match="firewall of host-a") as failed:
        firewall.ensure(host, build_ruleset(POLICY), scope=Scope())

    assert "Install nftables there" in failed.value.hint
    assert "command not found" in failed.value.detail


def test_check_names_a_host_without_nftables() -> None:
    message, hint = firewall.problem("host-a", HostNetwork(lacks_nftables=True))

    assert message == "nftables does not work on host-a: `up` will fail."
    assert "Install nftables" in hint
    assert firewall.problem("host-a", HostNetwork()) == ("", "")
