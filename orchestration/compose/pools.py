"""The two pools of subnets; each testbed has one subnet of each.

An installation sets them (`TESTBED_NAT_POOL`, `TESTBED_MANAGEMENT_POOL`), because they
must not overlap the ranges of a lab or a VPN. Used by the rules, `state.build` and the
host check.
"""

from dataclasses import dataclass
from ipaddress import IPv4Network

from orchestration.errors import StateError

SUBNET_PREFIX = 20

# 1,024 subnets of 4,096 addresses each. 10.64/10 is private (RFC 1918) and keeps
# clear of 10.0/16 and 10.255/16, which most labs and VPNs use themselves.
NAT = IPv4Network("10.64.0.0/10")

# Shared address space (RFC 6598): a guest whose experiment has any private subnet still
# reaches its host.
MANAGEMENT = IPv4Network("100.64.0.0/10")


@dataclass(frozen=True, slots=True)
class Ranges:
    """The ranges that the rules use: both pools, and the testbed's own NAT subnet."""

    nat: IPv4Network = NAT
    management: IPv4Network = MANAGEMENT
    nat_subnet: IPv4Network | None = None


@dataclass(frozen=True, slots=True)
class Pools:
    """The ranges of the NAT networks (on main) and the management networks (on each).

    The management networks are host-local and never routed.
    """

    nat: IPv4Network = NAT
    management: IPv4Network = MANAGEMENT

    @property
    def size(self) -> int:
        """The number of testbeds that have a subnet in both."""
        shortest = max(self.nat.prefixlen, self.management.prefixlen)
        return 1 << (SUBNET_PREFIX - shortest)

    def nat_subnet(self, number: int) -> IPv4Network:
        """Return the subnet of a testbed's NAT network. Raises: StateError."""
        return _subnet(self.nat, number)

    def management_subnet(self, number: int) -> IPv4Network:
        """Return a testbed's management subnet, the same on each host."""
        return _subnet(self.management, number)

    def ranges(self, number: int | None = None) -> Ranges:
        """Return both pools, and the testbed's own subnet once it has a number."""
        own = None if number is None else self.nat_subnet(number)
        return Ranges(self.nat, self.management, own)


DEFAULT_POOLS = Pools()


def _subnet(pool: IPv4Network, number: int) -> IPv4Network:
    size = 1 << (pool.max_prefixlen - SUBNET_PREFIX)
    if (number + 1) * size > pool.num_addresses:
        raise StateError(
            f"The address pool {pool} has {pool.num_addresses // size} subnets, and "
            f"this testbed has the number {number}.",
            hint="Delete testbeds that are not needed and create this one again, or let "
            "an administrator give the pool more addresses.",
        )
    return IPv4Network((int(pool.network_address) + number * size, SUBNET_PREFIX))
