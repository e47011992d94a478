"""The state: everything that a spec means on our hosts, decided and complete.

Built by `state.build` from a Spec, an Identity, hosts and a catalogue; read by the
plan, the providers' builders, the instructions and the web's diagram. Nothing is
left to choose later: names, hosts, MACs, addresses, paths and tunnel ids are here.
Only `Markers` change afterwards, written by `project.py` when a thing has happened.
Units are in the names; addresses and subnets are their usual text forms.
"""

from orchestration.state.hosts import Datapath as Datapath
from orchestration.state.hosts import DomainType as DomainType
from orchestration.state.hosts import HostKind as HostKind
from orchestration.state.hosts import HostState as HostState
from orchestration.state.images import DiskOrigin, Frozen, ImageState

# One more when a state file changes, with a step in `versions.py` for those before.
SCHEMA_VERSION = 2


class BridgeState(Frozen):
    """One Open vSwitch bridge on one host; a stretched bridge has several."""

    name: str
    host: str
    device: str
    datapath: Datapath
    protocol: str | None = None
    controller: str | None = None
    rstp: bool = False


class PatchState(Frozen):
    """A link between two bridges of one host: patch ports, or a veth pair with RSTP.

    Open vSwitch 3.1 aborts, for all testbeds of its host, when a BPDU passes a patch
    port: "rstp.c: pthread_mutex_lock failed (Resource deadlock avoided)".
    """

    name: str
    host: str
    device_a: str
    device_b: str
    port_a: str
    port_b: str
    is_veth: bool = False


class TunnelEnd(Frozen):
    """One end of a tunnel: `port` on `device` of `host`, towards `remote_address`."""

    host: str
    device: str
    port: str
    local_address: str
    remote_address: str


class TunnelState(Frozen):
    """A link between bridges on two hosts; `key` is unique among all testbeds."""

    name: str
    kind: str
    key: int
    ends: tuple[TunnelEnd, TunnelEnd]


class Reservation(Frozen):
    """A fixed DHCP lease, which is also a name in the network's DNS."""

    mac: str
    address: str
    names: tuple[str, ...]


class NatState(Frozen):
    """The libvirt NAT network on main, and its veth pair into the external bridge."""

    host: str
    network: str
    device: str
    subnet: str
    gateway: str
    mtu: int
    reservations: tuple[Reservation, ...]
    external_device: str
    veth_network_end: str
    veth_bridge_end: str


class ManagementState(Frozen):
    """The isolated libvirt network by which a host reaches its own guests."""

    host: str
    network: str
    device: str
    subnet: str
    address: str


class CardState(Frozen):
    """A network card of a host that is plugged into a bridge; it stays the host's."""

    host: str
    device: str
    nic: str


class NetworkState(Frozen):
    """All networks of a testbed."""

    bridges: tuple[BridgeState, ...] = ()
    patches: tuple[PatchState, ...] = ()
    tunnels: tuple[TunnelState, ...] = ()
    nat: NatState | None = None
    management: tuple[ManagementState, ...] = ()
    cards: tuple[CardState, ...] = ()


class InterfaceState(Frozen):
    """One interface on an experiment's bridge: `name` in the guest, `tap` on its host.

    `address` is known for static and reserved addresses (`prefix` with it) and empty
    otherwise. `dhcp` says that the guest asks for it.
    """

    name: str
    bridge: str
    device: str
    tap: str
    mac: str
    mtu: int
    dhcp: bool
    address: str = ""
    prefix: int = 0
    gateway: str = ""


class ManagementInterface(Frozen):
    """A guest's last interface: static, no gateway, isolated from other guests."""

    name: str
    network: str
    tap: str
    mac: str
    address: str
    prefix: int


class ScriptState(Frozen):
    """A script in the testbed's folder; the digest is empty in offline plans."""

    path: str
    sha256: str = ""


class Markers(Frozen):
    """What has happened to a guest; written after the fact, never before.

    `disk` is the identity of the image that the disk was made from, `reached` the
    spec hash with which the guest was first reached, `script` the digest of the
    setup script that ended with `script_exit_code`.
    """

    disk: str = ""
    reached: str = ""
    script: str = ""
    script_exit_code: int | None = None
    run_script: str = ""
    run_script_exit_code: int | None = None


class GuestState(Frozen):
    """One guest on its host, with every name and path already chosen.

    `domain` is libvirt's name and the hostname. `artefacts_dir` is the folder on
    the guest's host; `disk`, `seed`, `xml` and `console` are full paths there.
    `spec_hash` covers what the user wrote about this guest.

    A guest without a `seed` has no account for us: it only runs. One without a
    `disk` has its CD-ROM alone. A clone names its `golden` image's machine.
    """

    name: str
    index: int
    host: str
    domain: str
    uuid: str
    user: str
    password_hash: str = ""
    cpus: int
    memory_mib: int
    expand_gib: int
    image: ImageState
    disk_origin: DiskOrigin = DiskOrigin.LINKED
    is_cdrom: bool = False
    is_readonly: bool = False
    artefacts_dir: str
    disk: str
    seed: str
    xml: str
    console: str
    interfaces: tuple[InterfaceState, ...]
    management: ManagementInterface | None
    environment: dict[str, str]
    context: str | None = None
    setup_script: ScriptState | None = None
    run_script: ScriptState | None = None
    spec_hash: str
    golden: str = ""
    markers: Markers = Markers()


class GoldenState(Frozen):
    """A machine that only its clones are run of; on main.

    `guest` is how it is started once, to run the script that its clones share, and
    `image` what comes of it, on main. Where nothing has to be prepared, `image` is
    what the machine itself would start from.
    """

    guest: GuestState
    image: ImageState
    context_sha256: str = ""

    @property
    def name(self) -> str:
        """What the user calls the machine."""
        return self.guest.name

    @property
    def is_prepared(self) -> bool:
        """Say whether an image is made of it before its clones are."""
        return bool(self.image.golden)

    @property
    def is_started(self) -> bool:
        """Say whether a script has to run in it."""
        return self.guest.setup_script is not None


class State(Frozen):
    """One testbed, complete. `directory` is its folder on main.

    `yaml_sha256` tells whether the YAML changed since. `identity_file` is the
    private key (a path on main) that logs in to the guests, `public_key` its line.
    """

    schema_version: int = SCHEMA_VERSION
    testbed: str
    number: int
    directory: str
    yaml_sha256: str
    identity_file: str
    public_key: str
    hosts: tuple[HostState, ...]
    network: NetworkState
    guests: tuple[GuestState, ...]
    goldens: tuple[GoldenState, ...] = ()

    @property
    def main(self) -> HostState:
        """The one host that is main."""
        return next(host for host in self.hosts if host.is_main)

    def host(self, name: str) -> HostState:
        """Return a host by name. Raises KeyError."""
        return {host.name: host for host in self.hosts}[name]

    def guest(self, name: str) -> GuestState:
        """Return a guest, or the guest of a golden image. Raises KeyError."""
        return {guest.name: guest for guest in self.machines}[name]

    def golden(self, name: str) -> GoldenState:
        """Return a golden image by its machine's name. Raises KeyError."""
        return {golden.name: golden for golden in self.goldens}[name]

    @property
    def machines(self) -> tuple[GuestState, ...]:
        """All guests, then those that only become golden images."""
        return (*self.guests, *(golden.guest for golden in self.goldens))

    @property
    def started(self) -> tuple[GuestState, ...]:
        """All guests, then those that run once to become golden images."""
        found = (golden.guest for golden in self.goldens if golden.is_started)
        return (*self.guests, *found)

    @property
    def used_hosts(self) -> tuple[HostState, ...]:
        """The hosts that this testbed puts anything on; main is always one."""
        names = {guest.host for guest in self.guests}
        names |= {bridge.host for bridge in self.network.bridges}
        return tuple(h for h in self.hosts if h.is_main or h.name in names)
