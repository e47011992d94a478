"""Builds the nftables table that binds guests to their management addresses, as text.

One table of the family `bridge` for each testbed on each of its hosts: a frame that a
guest's management tap sends as another guest is dropped before the bridge learns from
it. Open vSwitch's bridges never pass this hook, so that experiments in them are free.
`firewall.py` writes it; the addresses of the uplink are bound in `ruleset.py`. Pure.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from orchestration.providers.linux.ruleset import Ruleset, sealed
from orchestration.state.model import State

_TEXT = """\
table %(table)s {
	chain wanted_%(digest)s {
	}

	set senders {
		type ifname . ether_addr . ipv4_addr%(elements)s
	}

	chain prerouting {
		type filter hook prerouting priority filter; policy accept;
		iifname "t%(number)dg*" jump from_guests
	}

	chain from_guests {
		ether type ip iifname . ether saddr . ip saddr @senders accept
		ether type arp iifname . arp saddr ether . arp saddr ip @senders jump of_sender
		counter drop
	}

	chain of_sender {
		iifname . ether saddr . arp saddr ip @senders accept
	}
}
"""


@dataclass(frozen=True, slots=True)
class Sender:
    """A guest's management tap, with the MAC and the address that it may use."""

    tap: str
    mac: str
    address: str


def table_of(number: int) -> str:
    """Return the name of a testbed's table."""
    return f"bridge testbed_t{number}"


def senders_of(state: State, host: str) -> Ruleset:
    """Build a testbed's table for the guests of one host."""
    cards = (g.management for g in state.machines if g.host == host)
    senders = (Sender(c.tap, c.mac, c.address) for c in cards if c is not None)
    return build_senders(state.number, senders)


def build_senders(number: int, senders: Iterable[Sender]) -> Ruleset:
    """Build the table of a testbed; without senders nothing passes."""
    listed = sorted(f'"{s.tap}" . {s.mac.lower()} . {s.address}' for s in senders)
    joined = ",\n\t\t\t     ".join(listed)
    # nft refuses an empty list.
    elements = f"\n\t\telements = {{ {joined} }}" if listed else ""
    table = table_of(number)
    facts = {"table": table, "number": number, "elements": elements}
    return sealed(table, _TEXT, facts)
