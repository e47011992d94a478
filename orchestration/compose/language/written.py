"""The kvm-compose language as it is written, every generation of it.

The loader validates the YAML against these models section by section; the reference and
the JSON schema are generated from them. Where several forms are accepted (`interfaces`
or `network`, a list or a map) the model keeps the written one; `normal.py` makes the
one internal form of `schema.py`. Models hold types and spelling only.
"""

from typing import Annotated, Literal

from pydantic import Discriminator, Field, StrictBool, StrictInt, Tag, model_validator

from orchestration.compose.language.entry import (
    Address,
    Entry,
    LowerCase,
    exactly_one,
    one_of,
)
from orchestration.compose.language.ovn import AddressRange
from orchestration.compose.language.schema import (
    Bridge,
    CloudImage,
    Docker,
    ExistingDisk,
    HostInterface,
    IsoGuest,
    Network,
    NetworkModel,
    TestbedOptions,
)

# A testbed's subnets hold about as many addresses.
CLONES_LIMIT = 4000
# Read, and not offered by editors.
OUTDATED = Field(json_schema_extra={"deprecated": True})

# Alternatives of one key, told apart by their form. The loader omits parts in angle
# brackets from the path of a mistake.
A_LIST, A_MAP, A_WORD = "<list>", "<map>", "<word>"


def _list_or_map(value: object) -> str:
    return A_MAP if isinstance(value, dict | Entry) else A_LIST


def _word_or_map(value: object) -> str:
    return A_MAP if isinstance(value, dict | Entry) else A_WORD


class BridgeInterface(Entry):
    """A network card that is plugged into a bridge."""

    bridge: str
    """A name under `network.bridges`."""
    mac: LowerCase | None = None
    """Six pairs of hexadecimal digits, not multicast, unique. Left out it is derived
    from testbed, machine and position, and stays the same."""
    ip: Address = None
    """An IPv4 address without a mask, unique. `dynamic` is the same as leaving it
    out: by DHCP."""
    gateway: str | None = None
    """The default route that goes with `ip`; without `ip` a warning, because DHCP
    gives one."""
    model: NetworkModel = NetworkModel.VIRTIO
    """The network card that the guest sees: `e1000e`, `e1000` or `rtl8139` for systems
    without virtio drivers, such as Windows."""


class SwitchInterface(Entry):
    """A network card that is plugged into a logical switch."""

    switch: str
    """A name under `network.ovn.switches`."""
    mac: LowerCase | None = None
    """As for a bridge."""
    ip: Address = None
    """An address of the switch's subnet without a mask, or `dynamic`, which needs a
    `dhcp` entry of a router."""
    gateway: str | None = None
    """The default route, an address of the subnet."""
    network_name: str | None = None
    """The provider network of the port."""
    model: NetworkModel = NetworkModel.VIRTIO
    """As for a bridge."""


class ClonesOnBridge(Entry):
    """Which clones are plugged into a bridge."""

    bridge: str
    """A name under `network.bridges`."""
    clones: tuple[StrictInt, ...]
    """Numbers of clones, from 0. A clone may be on several bridges."""
    model: NetworkModel = NetworkModel.VIRTIO
    """The network card that these clones see, as for `interfaces` of a machine."""


class MacRange(Entry):
    """MACs from one to another, both included."""

    from_: Annotated[LowerCase, Field(alias="from")]
    """The first."""
    to: LowerCase
    """The last."""


class IpType(Entry):
    """Addresses for clones."""

    ip_range: AddressRange
    """One address for each clone of the list, in its order."""


class ClonesOnSwitch(Entry):
    """Which clones are plugged into a logical switch, and with which addresses."""

    clones: tuple[StrictInt, ...]
    """Numbers of clones, from 0. A clone is on the first switch that lists it."""
    gateway: str | None = None
    """The default route."""
    ip_type: Annotated[
        Annotated[Literal["dynamic"], Tag(A_WORD)] | Annotated[IpType, Tag(A_MAP)],
        Discriminator(_word_or_map),
    ]
    """`dynamic`, or a map with `ip_range`."""
    mac_range: MacRange | None = None
    """One MAC for each clone of the list; left out they are derived."""
    model: NetworkModel = NetworkModel.VIRTIO
    """The network card that these clones see, as for `interfaces` of a machine."""


class CloneScript(Entry):
    """A script for some of the clones; of several the last one wins."""

    script: str
    """The script."""
    clones: tuple[StrictInt, ...]
    """Numbers of clones, from 0."""


class PlainScaling(Entry):
    """How many guests are made of this machine, and where they are plugged in."""

    count: Annotated[StrictInt, Field(ge=0, le=CLONES_LIMIT)]
    """How many clones, 0 to 4000."""
    interfaces: Annotated[
        Annotated[tuple[ClonesOnBridge, ...], Tag(A_LIST)]
        | Annotated[dict[str, ClonesOnSwitch], Tag(A_MAP)],
        Discriminator(_list_or_map),
    ]
    """A list of bridges, or a map of switches. Every clone must be in it."""


class GoldenScaling(PlainScaling):
    """How many linked clones are made of this golden image."""

    shared_setup: str | None = None
    """A script that runs once on the golden image."""
    clone_setup: tuple[CloneScript, ...] = ()
    """The clones' setup scripts."""
    clone_run: tuple[CloneScript, ...] = ()
    """The clones' run scripts."""


class DiskChoice(Entry):
    """The source of the guest's disk: one of the three."""

    model_config = one_of("cloud_image", "existing_disk", "iso_guest")

    cloud_image: CloudImage | None = None
    """An image of the catalogue."""
    existing_disk: ExistingDisk | None = None
    """A disk that you bring."""
    iso_guest: IsoGuest | None = None
    """A blank disk and an ISO to install from."""

    check_one = model_validator(mode="after")(
        exactly_one("cloud_image", "existing_disk", "iso_guest")
    )


class WrittenLibvirt(Entry):
    """A guest of libvirt."""

    cpus: StrictInt
    """1 to 255."""
    memory_mb: StrictInt
    """MiB, 32 to 4194304."""
    libvirt_type: DiskChoice
    """The source of its disk."""
    username: str | None = None
    """The account that is created in the guest; left out it is the image's."""
    password: str | None = None
    """A password for that account."""
    scaling: GoldenScaling | None = None
    """Make several guests of this one."""


class WrittenDocker(Docker):
    """A container."""

    scaling: PlainScaling | None = None
    """Make several guests of this one."""


class Avd(Entry):
    """A new Android virtual device."""

    android_api_version: Annotated[StrictInt, Field(ge=0, le=255)]
    """The version of the Android interface, such as 28."""
    playstore_enabled: StrictBool
    """With the Play Store; without it the guest can be root."""


class ExistingAvd(Entry):
    """An Android virtual device that exists."""

    path: str
    """Its folder in the testbed's folder."""


class WrittenAndroid(Entry):
    """An Android virtual device."""

    avd: Avd | None = None
    """A new device."""
    existing_avd: ExistingAvd | None = None
    """A device that exists."""
    scaling: PlainScaling | None = None
    """Make several guests of this one."""


class AndroidChoice(WrittenAndroid):
    """An Android virtual device: `avd` or `existing_avd`."""

    model_config = one_of("avd", "existing_avd")

    check_one = model_validator(mode="after")(exactly_one("avd", "existing_avd"))


class MachineAvd(WrittenAndroid):
    """An Android virtual device in the older spelling; nothing in it is required."""

    android_api_version: Annotated[StrictInt, Field(ge=0, le=255)] | None = None
    """The same as in `avd` below."""
    playstore_enabled: StrictBool = False
    """The same as in `avd` below."""


class WrittenMachine(Entry):
    """One guest, or with `scaling` several."""

    model_config = one_of("libvirt", "docker", "android", "avd")

    name: LowerCase
    """`a-z`, `0-9` and `-`, no `-` at the ends, up to 40 characters; capital letters
    become small ones. Unique. The guest's host name is `<key of the testbed>-<name>`,
    such as `tb12-worker`."""
    interfaces: tuple[BridgeInterface, ...] | None = None
    """Network cards on bridges, up to 32."""
    network: (
        Annotated[
            Annotated[tuple[SwitchInterface, ...], Tag(A_LIST)]
            | Annotated[SwitchInterface, Tag(A_MAP)],
            Discriminator(_list_or_map),
        ]
        | None
    ) = None
    """Network cards on logical switches: a list, or a map for a single one."""
    libvirt: WrittenLibvirt | None = None
    """A guest of libvirt."""
    docker: WrittenDocker | None = None
    """A container."""
    android: AndroidChoice | None = None
    """An Android virtual device."""
    avd: MachineAvd | None = None
    """The older spelling of `android`."""

    check_one = model_validator(mode="after")(
        exactly_one("libvirt", "docker", "android", "avd")
    )


class Tooling(Entry):
    """Nothing yet: the key is accepted and has no effect."""


class Document(Entry):
    """A whole kvm-compose.yaml."""

    machines: tuple[WrittenMachine, ...] = ()
    """The guests; without any there is a warning."""
    network: Network = Field(default_factory=Network)
    """Bridges and their connections, or logical switches and routers."""
    testbed_options: TestbedOptions = Field(default_factory=TestbedOptions)
    """Settings of the whole testbed."""
    tooling: Annotated[Tooling | None, OUTDATED] = None
    """Accepted; it has no effect."""
    bridges: Annotated[tuple[Bridge, ...] | None, OUTDATED] = None
    """The oldest place of `network.bridges`."""
    bridge_connections: Annotated[dict[str, str] | None, OUTDATED] = None
    """The oldest place of `network.bridge_connections`."""
    external_bridge: Annotated[str | None, OUTDATED] = None
    """The oldest place of `network.external_bridge`."""
    network_interfaces: Annotated[tuple[HostInterface, ...] | None, OUTDATED] = None
    """The oldest place of `network.network_interfaces`."""
