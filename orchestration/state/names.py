"""The names of a testbed's objects on its hosts.

Two users may both write `br0`, and the kernel limits interface names to 15 characters;
so every device name starts with the testbed's number (`t12-br0`). Names from the YAML
have a hyphen after the number, ours have none (`t12nat`), so the two never collide.
Domains and networks of libvirt start with the number, too: the testbed `lab` with the
guest `x-web` and the testbed `lab-x` with the guest `web` would share a longer name.
Used by the other modules of this package; the names end up in the state, and the state
keeps them: what an earlier version called `lab-web` keeps that name.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from uuid import NAMESPACE_URL, uuid5

from orchestration.errors import StateError

# The kernel's IFNAMSIZ is 16 bytes with the closing zero.
DEVICE_NAME_LIMIT = 15

# The number of subnets in the address pools (addresses.py); four digits at most.
NUMBER_LIMIT = 1024

MANAGEMENT_INTERFACE = "mgmt0"


@dataclass(frozen=True, slots=True)
class KeptNames:
    """The libvirt names of a former state: its networks', and its domains' by guest."""

    nat: str = ""
    management: str = ""
    domains: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Names:
    """All names of one testbed; `number` is unique among the testbeds."""

    testbed: str
    number: int
    kept: KeptNames = KeptNames()

    def __post_init__(self) -> None:
        """Raise StateError when the number has no subnets in the pools."""
        if not 0 <= self.number < NUMBER_LIMIT:
            raise StateError(
                f"Testbed {self.testbed} has the number {self.number}; "
                f"numbers go from 0 to {NUMBER_LIMIT - 1}.",
                hint="Delete testbeds that are not needed, so that a number is free.",
            )

    @property
    def _prefix(self) -> str:
        return f"t{self.number}"

    def bridge(self, name: str) -> str:
        """Return the device of a bridge. Raises StateError when it is too long."""
        device = f"{self._prefix}-{name}"
        if len(device) > DEVICE_NAME_LIMIT:
            raise StateError(
                f"The bridge name {name!r} is too long for a network device.",
                hint="Use at most 5 characters.",
            )
        return device

    @property
    def nat_network(self) -> str:
        """The libvirt network that leads outside."""
        return self.kept.nat or f"{self._prefix}-nat"

    @property
    def nat_device(self) -> str:
        """The Linux bridge of the NAT network."""
        return f"{self._prefix}nat"

    @property
    def management_network(self) -> str:
        """The libvirt network by which a host reaches its guests."""
        return self.kept.management or f"{self._prefix}-mgmt"

    @property
    def management_device(self) -> str:
        """The Linux bridge of the management network."""
        return f"{self._prefix}mgmt"

    @property
    def veth_network_end(self) -> str:
        """The end of the veth pair that is a port of the NAT network's bridge."""
        return f"{self._prefix}vn"

    @property
    def veth_bridge_end(self) -> str:
        """The end of the veth pair that is a port of the external bridge."""
        return f"{self._prefix}vb"

    def tap(self, guest: int, interface: int) -> str:
        """Return the host's side of a guest's interface."""
        return f"{self._prefix}g{guest}i{interface}"

    def management_tap(self, guest: int) -> str:
        """Return the host's side of a guest's management interface."""
        return f"{self._prefix}g{guest}im"

    def patch_ports(self, link: int) -> tuple[str, str]:
        """Return the two ports of a link inside one host."""
        return f"{self._prefix}p{link}a", f"{self._prefix}p{link}b"

    def veth_ports(self, link: int) -> tuple[str, str]:
        """Return the two ends of a link inside one host that is a veth pair."""
        return f"{self.veth_prefix}{link}a", f"{self.veth_prefix}{link}b"

    @property
    def veth_prefix(self) -> str:
        """The common prefix of the ends of all such pairs."""
        return f"{self._prefix}w"

    def tunnel_port(self, link: int) -> str:
        """Return the port of a link between hosts, the same on both."""
        return f"{self._prefix}v{link}"

    def domain(self, guest: str) -> str:
        """Return libvirt's name of a guest."""
        return self.kept.domains.get(guest, f"{self._prefix}-{guest}")

    def hostname(self, guest: str) -> str:
        """Return the name that a guest has for itself, and in DNS."""
        return f"{self.testbed}-{guest}"

    def uuid(self, guest: str) -> str:
        """Return the uuid of a guest's domain."""
        return str(uuid5(NAMESPACE_URL, f"testbed:{self.testbed}/{guest}"))


def connection_name(source: str, target: str) -> str:
    """Return the name of the link between two bridges."""
    return f"{source}/{target}"


def stretch_name(bridge: str, host: str) -> str:
    """Return the name of the link that stretches a bridge to one more host."""
    return f"{bridge}@{host}"
