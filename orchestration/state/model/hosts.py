"""A testbed host as part of the state: its addresses, paths and capabilities.

Given by the caller (rows of the web, a JSON file of the CLI) and kept in the state
unchanged since the state was built. Other modules import these from `state.model`.
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
    """One range that a host uses itself, and its user.

    `by` is a network device, or for a filter its chain.
    """

    kind: ClaimKind
    range: str
    by: str


class HostNetwork(Frozen):
    """The observed facts of a host's own network; empty where none were observed.

    `tunnel_mtu` (0: unknown) is the MTU of `tunnel_device`, the device that has the
    tunnel address. `drops_forwards`: its firewall drops packets that libvirt accepts.
    `lacks_nftables`: `nft` is not installed or refuses.
    `moved`: its DNS name now resolves to another address.
    """

    tunnel_device: str = ""
    tunnel_mtu: int = 0
    claims: tuple[Claim, ...] = ()
    drops_forwards: bool = False
    lacks_nftables: bool = False
    moved: str = ""


class HostState(Frozen):
    """One testbed host as this testbed uses it.

    SSH answers at `address`; tunnels end at `tunnel_address`, and `tunnel_mtu` is the
    MTU of the device with that address (0: not known). `projects_dir` holds
    `<testbed>/artefacts/` (on main the testbeds' folders). `host_key` is the pinned
    public key line; `identity_file` is a path on main. `compress_copies` is right where
    the network to the host is the bottleneck.
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
        """Return whether guests run here: they boot, have taps and accept logins."""
        return self.kind is HostKind.REAL

    @property
    def plugs_devices(self) -> bool:
        """Return whether running guests can get and lose devices."""
        return self.kind is HostKind.REAL

    @property
    def has_network(self) -> bool:
        """Return whether it has addresses, routes and filters of its own."""
        return self.kind is HostKind.REAL

    @property
    def keeps_images(self) -> bool:
        """Return whether image files have contents here that can be copied."""
        return self.kind is HostKind.REAL

    @property
    def is_remote(self) -> bool:
        """Return whether the host is reached over the network."""
        return self.kind is HostKind.REAL and not self.is_main
