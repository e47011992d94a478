"""Judges where outside the lab users may lead a worker: webhooks, and Git repositories.

The worker stands in the lab's networks, where users' addresses must not lead it: a name
is resolved once, its addresses are judged, and one of them is called. Networks that are
allowed besides are the admin's; the lab's own hosts are not called in these either.
"""

import socket
from collections.abc import Collection, Iterable
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
)

from orchestration.errors import TestbedError

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network
# Only these are of the internet. Others stand for an IPv4 address, as those of RFC 4291,
# 6052 and 8215 do, or are of a site.
UNICAST = IPv6Network("2000::/3")
DOCUMENTATION = IPv6Network("3fff::/20")


class AddressRefused(TestbedError):
    """A name leads to no address that users may lead a worker to."""


def resolve(host: str, port: int) -> list[Address]:
    """Return all addresses of a name. Raises: OSError, UnicodeError."""
    rows = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return addresses_in(rows)


def addresses_in(rows: Iterable[tuple[object, ...]]) -> list[Address]:
    """Return the addresses of what `getaddrinfo` found."""
    places = (row[4] for row in rows)
    texts = (str(place[0]) for place in places if isinstance(place, tuple))
    return [ip_address(text.partition("%")[0]) for text in texts]


def choose(
    addresses: Iterable[Address],
    allowed: Iterable[Network],
    setting: str,
    *,
    refused: Collection[Address],
) -> Address:
    """Return the first address, when all may be called. Raises: AddressRefused.

    `setting` is the name of the environment's variable with which admins allow more.
    `refused` are the addresses of the lab's own hosts, which nothing allows: each of
    them serves what users' addresses must not lead to.
    """
    found = [_meant(address) for address in addresses]
    for address in found:
        if address in refused:
            raise AddressRefused(
                "Its name leads to a host of this lab.",
                hint="Use a server that is none of the lab's hosts.",
            )
        is_allowed = any(address in network for network in allowed)
        if not is_allowed and not _is_public(address):
            raise AddressRefused(
                "Its name leads to an address that is not public.",
                hint=f"A lab admin can allow its network with {setting}.",
            )
    if not found:
        raise AddressRefused("Its name has no address.")
    return found[0]


def _meant(address: Address) -> Address:
    """Return the IPv4 address that one of IPv6 stands for, or the address itself."""
    if not isinstance(address, IPv6Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


def _is_public(address: Address) -> bool:
    if isinstance(address, IPv6Address) and (
        address not in UNICAST
        or address in DOCUMENTATION
        or address.sixtofour is not None
        or address.teredo is not None
    ):
        return False
    return address.is_global and not address.is_multicast
