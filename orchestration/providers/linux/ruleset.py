"""Builds the nftables table that guards a testbed host from guests, as text.

Pure: the same policy always gives the same text on every host. `firewall.py` writes it
whole and compares. Our devices are known by their names (`state/names.py`), so that the
table does not change with the testbeds. It stands beside the tables of libvirt, Docker
and ufw: a drop of ours is final, and an acceptance of ours overrides none of theirs.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import IPv4Network, collapse_addresses, ip_address

from orchestration.compose.pools import DEFAULT_POOLS, Pools
from orchestration.state.model import HostState
from orchestration.state.topology import is_address

TABLE = "inet testbed"
# Guests reach the internet; these ranges are a lab's own, or nobody's.
# Source: RFC 6890.
PRIVATE = tuple(
    IPv4Network(text)
    for text in (
        "0.0.0.0/8",
        "10.0.0.0/8",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "198.18.0.0/15",
        "224.0.0.0/3",
    )
)
_ENTERED = ("from_guests", "to_host", "to_outside")
_TEXT = """\
table inet testbed {
	chain wanted_%(digest)s {
	}
%(sets)s
	chain prerouting {
		type filter hook prerouting priority raw; policy accept;
		udp dport { 4789, 6081 } fib daddr type local jump from_tunnels
%(from_guests)s
	}

	chain from_guests {
		meta nfproto ipv6 counter drop
		ip saddr 0.0.0.0 udp sport 68 udp dport 67 return
		fib saddr . iif oif missing counter drop
		ip daddr 169.254.0.0/16 counter drop
		ip daddr @hosts counter drop
		udp dport { 4789, 6081 } counter drop
		meta l4proto gre counter drop
	}

	chain from_tunnels {
		ip saddr @hosts return
		ip6 saddr @hosts6 return
		counter drop
	}

	chain input {
		type filter hook input priority filter - 10; policy accept;
%(to_host)s
	}

	chain to_host {
		ct state established,related return
		udp sport 68 udp dport 67 return
		ip daddr %(nat)s fib daddr . iif type local meta l4proto { tcp, udp } th dport 53 return
		fib daddr . iif type local icmp type echo-request limit rate 100/second return
		counter drop
	}

	chain forward {
		type filter hook forward priority filter - 10; policy accept;
%(to_outside)s
	}

	chain to_outside {
		ct state established,related return
		ip saddr != %(nat)s counter drop
		ip daddr @allowed return
		ip daddr @denied counter reject with icmp type admin-prohibited
	}
}
"""


@dataclass(frozen=True, slots=True)
class Policy:
    """The facts of an installation from which its hosts' firewalls follow.

    `hosts` are the addresses of all testbed hosts, `subnets` the networks that they are
    in, `allowed` the private networks that guests may reach. `unguarded` are the names
    of hosts that get no firewall of ours.
    """

    pools: Pools = DEFAULT_POOLS
    hosts: frozenset[str] = frozenset()
    subnets: frozenset[IPv4Network] = frozenset()
    allowed: tuple[IPv4Network, ...] = ()
    unguarded: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Ruleset:
    """A table as text for `nft -f`, and the digest that it carries in a chain's name.

    `table` is its family and its name.
    """

    table: str
    text: str
    digest: str


def policy_of(hosts: Iterable[HostState]) -> Policy:
    """Return the policy that follows from the hosts alone."""
    known = {a for host in hosts for a in (host.address, host.tunnel_address)}
    return Policy(hosts=frozenset(filter(is_address, known)))


def build_ruleset(policy: Policy) -> Ruleset:
    """Build the table that every guarded host has."""
    addresses = sorted(map(ip_address, policy.hosts), key=lambda a: (a.version, int(a)))
    pools = (policy.pools.nat, policy.pools.management)
    sets = (
        _set("hosts", "ipv4_addr", (a for a in addresses if a.version == 4)),
        _set("hosts6", "ipv6_addr", (a for a in addresses if a.version == 6)),
        _set("allowed", "ipv4_addr", collapse_addresses(policy.allowed)),
        _set(
            "denied",
            "ipv4_addr",
            collapse_addresses((*PRIVATE, *pools, *policy.subnets)),
        ),
    )
    facts: dict[str, object] = {"nat": policy.pools.nat, "sets": "".join(sets)}
    facts |= {chain: _from_our_devices(chain) for chain in _ENTERED}
    return sealed(TABLE, _TEXT, facts)


def sealed(table: str, text: str, facts: Mapping[str, object]) -> Ruleset:
    """Fill a table's text with its facts, and with the digest of both."""
    digest = sha256((text % {**facts, "digest": ""}).encode()).hexdigest()[:16]
    return Ruleset(table, text % {**facts, "digest": digest}, digest)


def _from_our_devices(chain: str) -> str:
    """Return the rules that lead from our devices to a chain.

    As one set of wildcards, nft 1.0.6 would list them in an unreadable form.
    """
    jumps = (f'\t\tiifname "t{digit}*" jump {chain}' for digit in range(10))
    return "\n".join(('\t\tiifname != "t*" return', *jumps))


def _set(name: str, kind: str, elements: Iterable[object]) -> str:
    listed = ", ".join(map(str, elements))
    line = f"\t\telements = {{ {listed} }}\n" if listed else ""
    return f"\n\tset {name} {{\n\t\ttype {kind}\n\t\tflags interval\n{line}\t}}\n"
