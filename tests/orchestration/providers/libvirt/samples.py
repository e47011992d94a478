"""Small states to build XML from, and the connections that tests use."""

from pathlib import Path

from orchestration.providers.libvirt import networks
from orchestration.providers.libvirt.connection import Connection
from orchestration.providers.libvirt.ownership import GuestDomain, domain_of
from orchestration.providers.libvirt.simulated import open_connection
from orchestration.providers.libvirt.xml.domain import (
    build_management_network,
    build_nat_network,
)
from orchestration.state.model import (
    Datapath,
    DomainType,
    GuestState,
    HostKind,
    HostState,
    InterfaceState,
    ManagementInterface,
    ManagementState,
    NatState,
    Reservation,
)
from orchestration.state.model.images import ImageState

HOST = HostState(
    name="sim-1",
    kind=HostKind.SIMULATED,
    domain_type=DomainType.QEMU,
    datapath=Datapath.NETDEV,
    cpus=32,
    memory_mib=131_072,
)
REAL_HOST = HOST.model_copy(update={"kind": HostKind.REAL})
KVM_HOST = HOST.model_copy(
    update={"domain_type": DomainType.KVM, "datapath": Datapath.SYSTEM}
)
REMOTE_HOST = HostState(
    name="host-b",
    address="192.0.2.7",
    port=2222,
    user="lab",
    identity_file="/keys/host b",
    host_key="ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIFakeFakeFake",
)
MANAGEMENT = ManagementState(
    host="sim-1",
    network="lab-mgmt",
    device="tb-m",
    subnet="10.254.1.0/24",
    address="10.254.1.1",
)
NAT = NatState(
    host="sim-1",
    network="lab-nat",
    device="tb-nat",
    subnet="10.201.3.0/24",
    gateway="10.201.3.1",
    mtu=1450,
    reservations=(
        Reservation(
            mac="52:54:00:00:00:01", address="10.201.3.10", names=("web", "www")
        ),
        Reservation(mac="52:54:00:00:00:02", address="10.201.3.11", names=("db",)),
    ),
    external_device="tb-br0",
    veth_network_end="tb-vn",
    veth_bridge_end="tb-vb",
)
NAT_XML = build_nat_network(NAT, testbed="lab")
MANAGEMENT_XML = build_management_network(MANAGEMENT, testbed="lab")


def build_guest(index: int = 0, *, folder: str = "/lab") -> GuestState:
    """Return a guest with two bridge interfaces and a management interface."""
    interfaces = tuple(
        InterfaceState(
            name=f"eth{port}",
            bridge="br0",
            device="tb-br0",
            tap=f"tb-{index}-{port}",
            mac=f"52:54:00:0a:{index:02x}:{port:02x}",
            mtu=1450,
            dhcp=True,
        )
        for port in range(2)
    )
    return GuestState(
        name=f"web-{index}",
        index=index,
        host="sim-1",
        domain=f"lab-web-{index}",
        uuid=f"7e57bed0-0000-4000-8000-{index:012x}",
        user="nocloud",
        cpus=2,
        memory_mib=512,
        expand_gib=0,
        image=ImageState(
            name="test", sha256="0" * 64, format="qcow2", path="/i", main_path="/i"
        ),
        artefacts_dir=folder,
        disk=f"{folder}/web-{index}.qcow2",
        seed=f"{folder}/web-{index}.iso",
        xml=f"{folder}/web-{index}.xml",
        console=f"{folder}/web-{index}.console",
        interfaces=interfaces,
        management=ManagementInterface(
            name="mgmt",
            network="lab-mgmt",
            tap=f"tb-{index}-m",
            mac=f"52:54:00:0b:00:{index:02x}",
            address=f"10.254.1.{index + 10}",
            prefix=24,
        ),
        environment={},
        spec_hash=f"hash-{index}",
    )


def domain_in_lab(guest: GuestState) -> GuestDomain:
    """Return the domain of a guest of the testbed `lab`."""
    return domain_of("lab", guest)


def network_names(conn: Connection) -> tuple[str, ...]:
    """Return the names of all networks of a host, sorted."""
    return tuple(network.name for network in networks.observe(conn))


def define_text(conn: Connection, xml: str) -> None:
    """Define any domain, as somebody else on the host would."""
    conn.call("define a domain", lambda handle: handle.defineXML(xml), changes=True)


def open_simulated(directory: Path) -> Connection:
    """Open the simulated host whose file is in `directory`."""
    return open_connection(HOST, wrapper_dir=directory, simulated_dir=directory)
