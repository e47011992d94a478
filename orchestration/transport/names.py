"""Addresses of hosts that are known by DNS names, from main's resolver, and main's own.

Tunnels end at addresses: Open vSwitch takes no names. Used by the host check.
"""

import re
import socket
from ipaddress import IPv6Address
from pathlib import Path

from orchestration.errors import HostUnreachable

# The kernel's tables of this machine's addresses.
_IPV4, _IPV6 = Path("/proc/net/fib_trie"), Path("/proc/net/if_inet6")
_LOCAL = re.compile(r"\|-- (\S+)\n +/32 host LOCAL\n")


def addresses_of(name: str) -> tuple[str, ...]:
    """Return the addresses of a name, IPv4 before IPv6, or of an address itself.

    Raises: HostUnreachable (the name is not known).
    """
    try:
        found = socket.getaddrinfo(name, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as exc:
        raise HostUnreachable(
            f"The name {name} is not known.",
            hint="Correct it in the DNS or in /etc/hosts of main, or give the address.",
            detail=str(exc),
        ) from exc
    found.sort(key=lambda entry: entry[0] != socket.AF_INET)
    return tuple(dict.fromkeys(str(entry[4][0]) for entry in found))


def own_addresses() -> frozenset[str]:
    """Return the addresses of this machine's interfaces, also those of its loopback."""
    return addresses_in(_text(_IPV4), _text(_IPV6))


def addresses_in(trie: str, table: str) -> frozenset[str]:
    """Return the addresses in the kernel's tables of IPv4 and of IPv6."""
    heads = (line.split(" ", 1)[0] for line in table.splitlines())
    return frozenset(
        (*_LOCAL.findall(trie), *(str(IPv6Address(bytes.fromhex(h))) for h in heads))
    )


def _text(path: Path) -> str:
    """Return a table; a kernel without IPv6 has one less."""
    try:
        return path.read_text()
    except FileNotFoundError:
        return ""
