"""The text that libvirt is given, compared with reviewed files and its own schema."""

import xml.etree.ElementTree as ET

import libvirt
import pytest

from orchestration.compose.language.schema import DiskBus, NetworkModel
from orchestration.providers.images.qemu_img import Layer
from orchestration.providers.libvirt.xml.backing import with_layers
from orchestration.providers.libvirt.xml.domain import (
    build_domain,
    build_management_network,
    build_nat_network,
)
from orchestration.providers.libvirt.xml.metadata import find_mark
from orchestration.state.model import GuestState
from orchestration.state.model.images import DiskOrigin
from tests.golden import DATA, Golden
from tests.orchestration.providers.libvirt.samples import (
    HOST,
    KVM_HOST,
    MANAGEMENT,
    NAT,
    build_guest,
)

UNSEEDED = build_guest().model_copy(update={"seed": "", "management": None})
DISC = UNSEEDED.model_copy(update={"is_cdrom": True, "is_readonly": True})
ISO = UNSEEDED.model_copy(update={"disk_origin": DiskOrigin.BLANK})


def without_virtio(
    bus: DiskBus, model: NetworkModel, guest: GuestState = UNSEEDED
) -> GuestState:
    interfaces = tuple(
        interface.model_copy(update={"model": model}) for interface in guest.interfaces
    )
    return guest.model_copy(update={"disk_bus": bus, "interfaces": interfaces})


WINDOWS = {
    "sata": without_virtio(DiskBus.SATA, NetworkModel.E1000E),
    "sata-iso": without_virtio(DiskBus.SATA, NetworkModel.E1000E, ISO),
    "scsi": without_virtio(DiskBus.SCSI, NetworkModel.E1000),
    "ide-iso": without_virtio(DiskBus.IDE, NetworkModel.RTL8139, ISO),
}
LAYERS = (Layer("/i/golden-0.qcow2", "qcow2"), Layer("/i/own & <disk>.img", "raw"))
BUILT = {
    "domain-layers": with_layers(
        build_domain(UNSEEDED, HOST, testbed="lab"), UNSEEDED.disk, LAYERS
    ),
    "domain-cdrom": build_domain(DISC, HOST, testbed="lab"),
    "domain-iso": build_domain(ISO, HOST, testbed="lab"),
    "domain-emulated-userspace": build_domain(build_guest(), HOST, testbed="lab"),
    "domain-kvm-kernel": build_domain(build_guest(1), KVM_HOST, testbed="lab"),
    **{
        f"domain-{name}": build_domain(guest, HOST, testbed="lab")
        for name, guest in WINDOWS.items()
    },
    "network-nat": build_nat_network(NAT, testbed="lab"),
    "network-management": build_management_network(MANAGEMENT, testbed="lab"),
}


def parse(text: str) -> ET.Element:
    return ET.fromstring(text)  # noqa: S314


@pytest.mark.parametrize("name", BUILT)
def test_text_is_the_reviewed_one(name: str, golden: Golden) -> None:
    golden(BUILT[name], DATA / "expected" / f"libvirt-{name}.xml")


@pytest.mark.parametrize("name", BUILT)
def test_text_obeys_libvirts_schema(name: str) -> None:
    handle = libvirt.open("test:///default")

    if name.startswith("domain"):
        handle.defineXMLFlags(BUILT[name], libvirt.VIR_DOMAIN_DEFINE_VALIDATE)
    else:
        flags = libvirt.VIR_NETWORK_DEFINE_VALIDATE
        handle.networkDefineXMLFlags(BUILT[name], flags)


def test_iso_of_a_user_stays_the_users() -> None:
    (cdrom,) = parse(BUILT["domain-iso"]).iterfind("./devices/disk[@device='cdrom']")

    label = cdrom.find("source/seclabel")
    assert label is not None
    assert (label.get("model"), label.get("relabel")) == ("dac", "no")
    others = [
        parse(BUILT[n]) for n in BUILT if not n.endswith(("iso", "domain-layers"))
    ]
    assert not any(list(found.iter("seclabel")) for found in others)


@pytest.mark.parametrize(
    ("guest", "order", "disks"),
    [
        (build_guest(), ["hd"], [("disk", "vda", False), ("disk", "vdb", True)]),
        (UNSEEDED, ["hd"], [("disk", "vda", False)]),
        (
            UNSEEDED.model_copy(update={"is_readonly": True}),
            ["hd"],
            [("disk", "vda", True)],
        ),
        (DISC, ["cdrom"], [("cdrom", "sda", True)]),
        (ISO, ["cdrom", "hd"], [("disk", "vda", False), ("cdrom", "sda", True)]),
        (
            ISO.model_copy(update={"disk": ""}),
            ["cdrom"],
            [("cdrom", "sda", True)],
        ),
    ],
)
def test_guest_boots_from_what_it_has(
    guest: GuestState, order: list[str], disks: list[tuple[str, str, bool]]
) -> None:
    domain = parse(build_domain(guest, HOST, testbed="lab"))

    assert [boot.get("dev") for boot in domain.iter("boot")] == order
    assert [
        (
            disk.get("device"),
            disk.find("target").get("dev"),
            disk.find("readonly") is not None,
        )
        for disk in domain.iter("disk")
    ] == disks


@pytest.mark.parametrize(
    ("memory_mib", "cache_mib"), [(64, "32"), (1024, "256"), (8192, "1024")]
)
def test_emulated_guest_keeps_a_bounded_cache_of_translated_code(
    memory_mib: int, cache_mib: str
) -> None:
    guest = build_guest().model_copy(update={"memory_mib": memory_mib})

    emulated, accelerated = (
        parse(build_domain(guest, host, testbed="lab")) for host in (HOST, KVM_HOST)
    )

    assert emulated.findtext("features/tcg/tb-cache") == cache_mib
    assert accelerated.find("features/tcg") is None


@pytest.mark.parametrize("name", [name for name in BUILT if name.startswith("domain")])
def test_each_guest_has_the_port_of_a_guest_agent(name: str) -> None:
    ports = parse(BUILT[name]).iterfind("./devices/channel[@type='unix']/target")

    assert [port.get("name") for port in ports] == ["org.qemu.guest_agent.0"]


def test_guest_without_management_network_has_no_network_interface() -> None:
    guest = build_guest().model_copy(update={"management": None})

    domain = parse(build_domain(guest, HOST, testbed="lab"))

    assert [i.get("type") for i in domain.iter("interface")] == ["bridge", "bridge"]


def test_names_with_markup_stay_names() -> None:
    guest = build_guest().model_copy(update={"disk": "/lab/<a>&\"b'.qcow2"})

    domain = parse(build_domain(guest, HOST, testbed="lab"))

    assert domain.find("./devices/disk/source").get("file") == "/lab/<a>&\"b'.qcow2"


def test_interface_identity_is_the_same_each_time_and_differs_per_interface() -> None:
    def identities() -> list[str]:
        domain = parse(build_domain(build_guest(), HOST, testbed="lab"))
        return [p.get("interfaceid") for p in domain.iter("parameters")]

    first = identities()

    assert first == identities()
    assert len(set(first)) == 2


@pytest.mark.parametrize(
    ("gateway", "expected"),
    [
        ("10.201.3.1", ("10.201.3.2", "10.201.3.254")),
        ("10.201.3.254", ("10.201.3.1", "10.201.3.253")),
        ("10.201.3.100", ("10.201.3.101", "10.201.3.254")),
    ],
)
def test_dhcp_never_offers_the_gateway(gateway: str, expected: tuple[str, str]) -> None:
    nat = NAT.model_copy(update={"gateway": gateway})

    network = parse(build_nat_network(nat, testbed="lab"))

    offered = network.find("./ip/dhcp/range")
    assert (offered.get("start"), offered.get("end")) == expected


def test_digest_of_a_network_ignores_its_hosts_only() -> None:
    def digest(**change: object) -> str:
        nat = NAT.model_copy(update=change)
        network = parse(build_nat_network(nat, testbed="lab"))
        return find_mark(network).spec_hash

    assert digest() == digest(reservations=())
    assert digest() != digest(mtu=1400)
    assert digest() != digest(gateway="10.201.3.254")


@pytest.mark.parametrize(
    ("bus", "machine", "targets"),
    [
        (DiskBus.VIRTIO, "q35", [("vda", "virtio"), ("sda", "sata")]),
        (DiskBus.SATA, "q35", [("sda", "sata"), ("sdb", "sata")]),
        (DiskBus.SCSI, "q35", [("sda", "scsi"), ("sdb", "sata")]),
        (DiskBus.IDE, "pc", [("hda", "ide"), ("hdc", "ide")]),
    ],
)
def test_disk_and_iso_are_where_the_driver_says(
    bus: DiskBus, machine: str, targets: list[tuple[str, str]]
) -> None:
    guest = without_virtio(bus, NetworkModel.E1000, ISO)

    domain = parse(build_domain(guest, HOST, testbed="lab"))

    assert domain.find("./os/type").get("machine") == machine
    found = [target.attrib for target in domain.iterfind("./devices/disk/target")]
    assert [(target["dev"], target["bus"]) for target in found] == targets
