"""The address pools of which each testbed has a subnet, as far as the rules need them."""

from dataclasses import dataclass
from ipaddress import IPv4Network

# 1,024 subnets of 4,096 addresses each. 10.64/10 is private (RFC 1918) and keeps
# clear of 10.0/16 and 10.255/16, which most labs and VPNs use themselves.
NAT_POOL = IPv4Network("10.64.0.0/10")

# Shared address space (RFC 6598): nobody's own network is there, so that a guest
# that is given any private subnet still reaches its host. Host-local, never routed.
MANAGEMENT_POOL = IPv4Network("100.64.0.0/10")


@dataclass(frozen=True, slots=True)
class Pools:
    """Both pools, and this testbed's subnet of the first one once it has a number."""

    nat: IPv4Network = NAT_POOL
    management: IPv4Network = MANAGEMENT_POOL
    nat_subnet: IPv4Network | None = None
