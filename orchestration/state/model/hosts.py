"""A testbed host as part of the state: how it is reached, and what it can do.

Given by the caller (rows of the web, a JSON file of the CLI) and kept in the state as
it was when the state was built. Other modules import these from `state.model`.
"""

from enum import StrEnum

from orchestration.state.model.images import Frozen


class HostKind(StrEnum):
    """`simulated` hosts run the same plans without touching any machine."""

    REAL = "real"
    SIMULATED = "simulated"


class DomainType(StrEnum):
    """libvirt's domain type: `kvm` only where acceleration was proven."""

    KVM = "kvm"
    QEMU = "qemu"


class Datapath(StrEnum):
    """Open vSwitch's datapath: the kernel's, or userspace where there is none."""

    SYSTEM = "system"
    NETDEV = "netdev"


class ClaimKind(StrEnum):
    """How a host uses a range of addresses."""

    ADDRESS = "address"
    ROUTE = "route"
    FILTER = "filter"


class Claim(Frozen):
    """One range that a host uses itself, and by what.

    `by` is a network device, or for a filter its chain.
    """

    kind: ClaimKind
    range: str
    by: str


class HostNetwork(Frozen):
    """What a host's own network showed; empty where nothing was seen.

    `tunnel_mtu` (0: unknown) is what `tunnel_device`, the device that has the tunnel
    address, carries. `drops_forwards`: its firewall drops what libvirt lets pass. `moved` says that
    its DNS name leads elsewhere by now.
    """

    tunnel_device: str = ""
    tunnel_mtu: int = 0
    claims: tuple[Claim, ...] = ()
    drops_forwards: bool = False
    moved: str = ""


class HostState(Frozen):
    """One testbed host as this testbed uses it.

    `address` is where SSH answers, `tunnel_address` where tunnels end, `tunnel_mtu`
    what the device with that address carries (0: not known).
    `projects_dir` holds `<testbed>/artefacts/` (on main the testbeds' folders).
    `host_key` is the pinned public key line; `identity_file` is a path on main.
    `compress_copies` is right where the network to it is the narrowest part.
    """

    name: str
    kind: HostKind = HostKind.REAL
    is_main: bool = False
    address: str = ""
    port: int = 22
    user: str = "root"
    identity_file: str = ""
    host_key: str = ""
    tunnel_address: str = ""
    tunnel_mtu: int = 0
    domain_type: DomainType = DomainType.QEMU
    datapath: Datapath = Datapath.SYSTEM
    projects_dir: str = ""
    images_dir: str = ""
    cpus: int = 0
    memory_mib: int = 0
    compress_copies: bool = False

    @property
    def boots_guests(self) -> bool:
        """Say whether guests run here: they boot, have taps and can be logged in to."""
        return self.kind is HostKind.REAL

    @property
    def plugs_devices(self) -> bool:
        """Say whether running guests can be given devices, and let go of them."""
        return self.kind is HostKind.REAL

    @property
    def has_network(self) -> bool:
        """Say whether it has addresses, routes and filters of its own."""
        return self.kind is HostKind.REAL

    @property
    def keeps_images(self) -> bool:
        """Say whether image files have contents here, which can be read and copied."""
        return self.kind is HostKind.REAL

    @property
    def is_remote(self) -> bool:
        """Say whether the host is reached over the network."""
        return self.kind is HostKind.REAL and not self.is_main
