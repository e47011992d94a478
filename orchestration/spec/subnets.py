"""The subnets of logical switches, and who hands out addresses on them.

Built once per check from the `ovn` part, so that each rule asks instead of parsing
again. Used by `ovn_checks.py` and `router_checks.py`. Pure.
"""

from ipaddress import IPv4Address, IPv4Network

from orchestration.spec.address_checks import parse_masked
from orchestration.spec.ovn import Ovn


class Subnets:
    """What is known about the switches of one `ovn` part."""

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
        """Return a switch's subnet; None when there is no readable one."""
        return self._subnets.get(switch)

    def has_dhcp(self, switch: str) -> bool:
        """Say whether a router hands out addresses on a switch."""
        return switch in self._dhcp


def address_problem(address: IPv4Address, subnet: IPv4Network) -> str:
    """Say why a guest cannot have an address of a subnet, or ''."""
    if address not in subnet:
        return "is outside the subnet"
    if subnet.prefixlen < 31 and address == subnet.network_address:
        return "is the subnet's own address"
    if subnet.prefixlen < 31 and address == subnet.broadcast_address:
        return "is the broadcast address"
    return ""
