"""Addresses of hosts that are known by DNS names, from main's resolver.

Tunnels end at addresses: Open vSwitch takes no names. Used by the host check.
"""

import socket

from orchestration.errors import HostUnreachable


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
