"""Rules about a single address or MAC by itself or in its subnet, and their parsing.

Used by the checks of interfaces, clones and logical networks, so that the same mistake
gets the same sentence everywhere. IPv4 only: an IPv6 address is reported as not built.
Pure.
"""

import re
from collections.abc import Iterator
from ipaddress import (
    AddressValueError,
    IPv4Address,
    IPv4Interface,
    IPv4Network,
    NetmaskValueError,
)

from orchestration.compose.language.ovn import Ovn
from orchestration.compose.reading.positions import Path, Positions
from orchestration.errors import Finding

THIS_NETWORK = IPv4Network("0.0.0.0/8")
MAC = re.compile(r"([0-9a-f]{2}:){5}[0-9a-f]{2}")


def parse_address(text: str) -> IPv4Address | None:
    """Parse an address without a mask."""
    try:
        return IPv4Address(text)
    except AddressValueError:
        return None


def parse_masked(text: str) -> IPv4Interface | None:
    """Parse an address or network with its mask."""
    if "/" not in text:
        return None
    try:
        return IPv4Interface(text)
    except (AddressValueError, NetmaskValueError):
        return None


def impossible(address: IPv4Address) -> str:
    """Return why no interface in a network can have this address, or ''.

    Source: RFC 6890, section 2.2.2.
    """
    if address.is_loopback:
        return "is a loopback address"
    if address.is_multicast:
        return "is a multicast address"
    if address in THIS_NETWORK:
        return "means no address"
    return "is a reserved address" if address.is_reserved else ""


def check_mac(path: Path, mac: str | None, positions: Positions) -> Iterator[Finding]:
    """Check one MAC; None is derived later and always valid."""
    if mac is None:
        return
    if not MAC.fullmatch(mac):
        yield positions.error(
            path,
            f"`{mac}` is no MAC address.",
            "Six pairs of hexadecimal digits with colons, such as 52:54:00:12:34:56.",
        )
    elif mac == "00:00:00:00:00:00":
        yield positions.error(path, "A MAC address cannot be all zero.")
    elif int(mac[:2], 16) & 1:
        yield positions.error(
            path,
            f"`{mac}` is a multicast address; a network card cannot have it.",
            "Make the second digit even, for example start with 52:54:00.",
        )


def check_address(
    path: Path, value: str | None, positions: Positions
) -> Iterator[Finding]:
    """Check one address that must have no mask."""
    if value is None:
        return
    address = parse_address(value)
    if address is not None:
        problem = impossible(address)
        if problem:
            yield positions.error(
                path,
                f"`{value}` {problem}; no guest or router can have it.",
                "Choose another address, such as 10.0.0.5.",
            )
        return
    hint = "Write four numbers with dots, such as 10.0.0.5."
    if "/" in value:
        hint = f"Leave the mask away: {value.partition('/')[0]}."
    elif ":" in value:
        hint = "IPv6 is not built yet; give an IPv4 address."
    yield positions.error(path, f"`{value}` is no IPv4 address.", hint)


def check_masked(path: Path, value: str, positions: Positions) -> Iterator[Finding]:
    """Check one address or network that must have its mask."""
    if parse_masked(value) is not None:
        return
    hint = "Write it with its mask, such as 10.0.0.0/24."
    if "/" not in value and parse_address(value) is not None:
        hint = f"The mask is missing, for example {value}/24."
    yield positions.error(path, f"`{value}` is no IPv4 network.", hint)


class Subnets:
    """The known subnets of the switches of one `ovn` part."""

    def __init__(self, ovn: Ovn) -> None:
        self.ovn = ovn
        self._subnets = {
            name: found.network
            for name, switch in ovn.switches.items()
            if (found := parse_masked(switch.subnet)) is not None
        }
        self._dhcp = {
            entry.switch for router in ovn.routers.values() for entry in router.dhcp
        }

    def of(self, switch: str) -> IPv4Network | None:
        """Return a switch's subnet; None when there is no valid one."""
        return self._subnets.get(switch)

    def has_dhcp(self, switch: str) -> bool:
        """Return whether a router serves DHCP on a switch."""
        return switch in self._dhcp


def address_problem(address: IPv4Address, subnet: IPv4Network) -> str:
    """Return why a guest cannot have an address of a subnet, or ''."""
    if address not in subnet:
        return "is outside the subnet"
    if subnet.prefixlen < 31 and address == subnet.network_address:
        return "is the subnet's own address"
    if subnet.prefixlen < 31 and address == subnet.broadcast_address:
        return "is the broadcast address"
    return ""
