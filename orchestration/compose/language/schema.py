"""The internal form of a kvm-compose.yaml, the same for all generations.

`normal.py` makes it from the written form (`written.py`); the state builder reads it
and does not depend on the generation. Parts with a single spelling use the same model
in both. Rules about values are in `compose/check.py`, and the parts that this version
does not build yet are in `built.py`.
"""

from enum import StrEnum
from typing import Annotated

from pydantic import BeforeValidator, Field, StrictBool, StrictInt, WithJsonSchema
from pydantic_core import PydanticKnownError

from orchestration.compose.language.entry import Entry
from orchestration.compose.language.ovn import Ovn


def _pairs(value: object) -> object:
    """Turn the YAML map of connections into pairs, in the order of the text."""
    if isinstance(value, dict):
        return tuple(value.items())
    if isinstance(value, tuple):
        return value
    raise PydanticKnownError("dict_type")


class NetworkModel(StrEnum):
    """The network card that a virtual machine sees."""

    VIRTIO = "virtio"
    E1000 = "e1000"
    E1000E = "e1000e"
    RTL8139 = "rtl8139"


class Interface(Entry):
    """One network card of a guest, plugged into a bridge or a logical switch."""

    attached_to: str
    model: NetworkModel = NetworkModel.VIRTIO
    mac: str | None = None
    ip: str | None = None
    gateway: str | None = None
    network_name: str | None = None


class CloudImage(Entry):
    """A disk that starts as a copy of an image of the catalogue."""

    name: str
    """An image of the catalogue, below."""
    expand_gigabytes: StrictInt = 0
    """GiB added to the image's own size, 0 to 65535."""
    setup_script: str | None = None
    """Run in the guest as root, once, near the end of `up`."""
    run_script: str | None = None
    """Run in the guest as root at the end of `up`, after all setup scripts."""
    context: str | None = None
    """A file, or a folder's contents, up to 64 MiB; in the guest under
    `/etc/nocloud/context/`."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Read in the guest with `/etc/nocloud/env.sh NAME`."""
    guest_agent: StrictBool = False
    """Install QEMU's guest agent at the first boot, from the distribution's
    packages."""


class DriverType(StrEnum):
    """The format of a disk file."""

    RAW = "raw"
    QCOW2 = "qcow2"


class DeviceType(StrEnum):
    """The device as which a guest sees a disk file."""

    DISK = "disk"
    CDROM = "cdrom"


class DiskBus(StrEnum):
    """How a virtual machine reaches its disk."""

    VIRTIO = "virtio"
    SATA = "sata"
    SCSI = "scsi"
    IDE = "ide"


class ExistingDisk(Entry):
    """A disk that the user brings; it is never changed."""

    path: str
    """The image file: in the testbed's folder, or an absolute path in an image folder
    that an administrator allowed."""
    driver_type: DriverType | None = None
    """The file's format; left out it is detected."""
    driver: DiskBus = DiskBus.VIRTIO
    """How the guest reaches it: `sata` for systems without virtio drivers, such as
    Windows; `scsi` is an LSI SAS 1068; `ide` for the oldest, on an i440FX board."""
    device_type: DeviceType = DeviceType.DISK
    """The device as which the guest sees it."""
    readonly: StrictBool = False
    """Keep the guest from writing to it."""
    create_deep_copy: StrictBool = False
    """Copy the whole file instead of laying a linked disk over it."""


class IsoGuest(Entry):
    """A blank disk, and an ISO file to install from."""

    path: str
    """The ISO file, under the same rule as `existing_disk`'s; the guest boots from
    it."""
    expand_gigabytes: StrictInt = 0
    """The size of the blank disk in GiB."""
    driver: DiskBus = DiskBus.VIRTIO
    """How the guest reaches the blank disk, as for `existing_disk`."""
    driver_type: DriverType | None = None
    """Accepted; the ISO is raw."""
    device_type: DeviceType = DeviceType.CDROM
    """Accepted; the ISO is a CD-ROM."""
    readonly: StrictBool = True
    """Accepted; the ISO is read-only."""


Disk = CloudImage | ExistingDisk | IsoGuest


class Libvirt(Entry):
    """A virtual machine."""

    cpus: StrictInt
    memory_mb: StrictInt
    libvirt_type: Disk
    username: str | None = None
    password: str | None = None


class Volume(Entry):
    """A folder or file of the testbed that a container sees."""

    source: str
    """A path in the testbed's folder; `${PWD}` stands for that folder."""
    target: str
    """Where the container sees it: an absolute path."""


class Docker(Entry):
    """A container."""

    image: str
    """The image, such as `nginx:1.27`."""
    command: str | None = None
    """One argument after the image."""
    entrypoint: str | None = None
    """Replaces the image's own."""
    environment: dict[str, str] = Field(default_factory=dict)
    """Variables of the container."""
    env_file: str | None = None
    """A file with variables."""
    volumes: tuple[Volume, ...] = ()
    """Folders or files that the container sees."""
    privileged: StrictBool = False
    """Give the container all of the host's devices."""
    user: str | None = None
    """The user or user:group to run as."""
    device: tuple[str, ...] = ()
    """Devices of the host to pass on."""


class Android(Entry):
    """An Android virtual device: a new one, or one that exists at a path."""

    android_api_version: int | None = None
    playstore_enabled: bool = False
    existing_avd: str | None = None


Kind = Libvirt | Docker | Android


class Clone(Entry):
    """The settings of one clone; its number is its index in the list."""

    interfaces: tuple[Interface, ...] = ()
    setup_script: str | None = None
    run_script: str | None = None


class Scaling(Entry):
    """The clones of a machine, which is then a golden image."""

    clones: tuple[Clone, ...] = ()
    shared_setup: str | None = None


class Machine(Entry):
    """One guest that the user asked for, or with `scaling` the origin of several."""

    name: str
    kind: Kind
    interfaces: tuple[Interface, ...] = ()
    scaling: Scaling | None = None


class Bridge(Entry):
    """One bridge of the testbed; it may be stretched over several hosts."""

    name: str
    """1 to 5 of letters, digits, `-` and `_`; unique."""
    protocol: str | None = None
    """An OpenFlow version, `OpenFlow10` to `OpenFlow15`; left out it is Open vSwitch's
    own choice."""
    controller: str | None = None
    """An OpenFlow controller, such as `tcp:198.51.100.5:6653`."""


class HostInterface(Entry):
    """A network card of a testbed host that is plugged into a bridge."""

    nic_name: str
    """Its name on the host, such as `eth1`."""
    testbed_bridge: str
    """The bridge."""
    testbed_host: str
    """The host; it must be the main one."""


class Network(Entry):
    """Bridges, which of them are connected, and which one leads outside; or `ovn`."""

    bridges: tuple[Bridge, ...] = ()
    """The bridges; needed as soon as a machine has interfaces."""
    bridge_connections: Annotated[
        tuple[tuple[str, str], ...],
        BeforeValidator(_pairs),
        WithJsonSchema({"type": "object", "additionalProperties": {"type": "string"}}),
    ] = ()
    """Links from bridge to bridge; each may be the left side once."""
    external_bridge: str | None = None
    """The bridge that leads outside; needed as soon as a machine has interfaces."""
    network_interfaces: tuple[HostInterface, ...] = ()
    """Network cards of hosts that are plugged into bridges."""
    ovn: Ovn | None = None
    """Logical switches and routers, instead of all of the above."""


class LoadBalancing(StrEnum):
    """How guests are spread over the testbed hosts."""

    NAIVE_ROUND_ROBIN = "NaiveRoundRobin"
    BALANCED = "Balanced"


class TestbedOptions(Entry):
    """Settings of the whole testbed."""

    __test__ = False  # pytest: the name starts with Test

    load_balancing: LoadBalancing = LoadBalancing.NAIVE_ROUND_ROBIN
    """`NaiveRoundRobin`: bridges go round the hosts. `Balanced`: by memory and
    CPUs, those that guests of all testbeds leave."""
    management_network: StrictBool = True
    """Give each guest one more interface, by which the testbed reaches it whatever the
    experiment does to its network; `false` uses the guest's own address."""


class Spec(Entry):
    """A whole kvm-compose.yaml in the internal form."""

    machines: tuple[Machine, ...] = ()
    network: Network = Field(default_factory=Network)
    testbed_options: TestbedOptions = Field(default_factory=TestbedOptions)
