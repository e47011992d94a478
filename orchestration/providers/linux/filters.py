"""Firewall rules of a host, as far as they can drop guests' packets.

Read from the lines of `iptables-save` and `nft list ruleset` that `network` selects. A
rule about one device, port or the opposite of a range says nothing about ours and is
left out, so that every listed rule really drops.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from ipaddress import IPv4Network
from itertools import pairwise

_OUR_DEVICE = re.compile(r"\"?t\d")
_DEVICE_WORDS = frozenset({"-i", "-o", "iif", "oif", "iifname", "oifname"})
_RANGE_WORDS = frozenset({"-s", "-d", "saddr", "daddr"})
_PORT_WORDS = frozenset(
    {"--dport", "--sport", "--dports", "--sports", "dport", "sport"}
)
_NOT = frozenset({"!", "!="})
# Our own table, and libvirt's own tables and chains, which know its networks.
_KNOWN = re.compile(r"libvirt|^testbed ", re.IGNORECASE)
_DROPPED_CHAIN = re.compile(r"^:FORWARD DROP ", re.MULTILINE)
_DROPPED_HOOK = re.compile(r"hook forward .*policy drop;")
_NFTABLES_BACKEND = re.compile(r"^table (ip|inet) libvirt_network\b", re.MULTILINE)
_IPTABLES_BACKEND = re.compile(r"^:LIBVIRT_FWI ", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Drop:
    """A rule of a chain that drops all packets from or to a range."""

    chain: str
    range: str


def of_iptables(text: str) -> Iterator[Drop]:
    """Parse `-A ts-input -s 100.64.0.0/10 ! -i tailscale0 -j DROP`."""
    for line in text.splitlines():
        words = line.split()
        if words[:1] == ["-A"] and not _KNOWN.search(words[1]):
            yield from _drops(words[1], words)


def of_nft(text: str) -> Iterator[Drop]:
    """Parse `ip saddr 100.64.0.0/10 iifname != "tailscale0" counter drop`."""
    table = chain = ""
    for line in text.splitlines():
        words = line.replace(",", " ").split()
        match words:
            case ["table", _, name, *_]:
                table = name
            case ["chain", name, *_]:
                chain = name
            case [*_] if not _KNOWN.search(f"{table} {chain}"):
                yield from _drops(chain, words)


def drops_forwards(iptables: str, nft: str, backend: str) -> bool:
    """Return whether iptables drops packets that libvirt's nftables backend accepts.

    Docker and ufw set the policy of iptables' FORWARD to DROP. A packet has to pass
    every table, so that libvirt's acceptance in a table of its own is not enough.
    """
    if _IPTABLES_BACKEND.search(iptables):
        return False
    is_nftables = backend.strip() == "nftables" or _NFTABLES_BACKEND.search(nft)
    is_dropped = _DROPPED_CHAIN.search(iptables) or _DROPPED_HOOK.search(nft)
    return bool(is_nftables and is_dropped)


def _drops(chain: str, words: list[str]) -> Iterator[Drop]:
    if _PORT_WORDS.intersection(words) or _is_of_another_device(words):
        return
    for found in _ranges(words):
        yield Drop(chain, found)


def _is_of_another_device(words: list[str]) -> bool:
    """Return whether a rule concerns one foreign device; `! -i` is all others."""
    triples = zip(["", *words], words, [*words[1:], ""], strict=False)
    return any(
        word in _DEVICE_WORDS
        and not {before, after} & _NOT
        and not _OUR_DEVICE.match(after)
        for before, word, after in triples
    )


def _ranges(words: list[str]) -> Iterator[str]:
    """Return the ranges behind `-s`, `-d`, `saddr` and `daddr`, sets too."""
    is_wanted = False
    for before, word in pairwise(["", *words]):
        if word in _RANGE_WORDS:
            is_wanted = before not in _NOT
        elif word in _NOT:
            is_wanted = False
        elif is_wanted and word not in ("{", "}"):
            if not _is_range(word):
                is_wanted = False
            else:
                yield word


def _is_range(word: str) -> bool:
    try:
        IPv4Network(word, strict=False)
    except ValueError:
        return False
    return True
